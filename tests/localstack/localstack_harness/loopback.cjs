// Loaded into every Node process that LocalStack starts (NODE_OPTIONS="--require .../loopback.cjs").
// kinesis-mock listens on all interfaces and has no setting for that; a test server belongs on
// loopback. It also outlives a LocalStack that was killed, holding its memory and port.
"use strict";

const net = require("net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...args) {
  const [first, second] = args;
  if (first !== null && typeof first === "object" && first.port !== undefined) {
    args[0] = { ...first, host: "127.0.0.1" };
  } else if (typeof first === "number" || (typeof first === "string" && /^\d+$/.test(first))) {
    // listen(port[, host][, backlog][, callback])
    if (typeof second === "string") {
      args[1] = "127.0.0.1";
    } else {
      args.splice(1, 0, "127.0.0.1");
    }
  } else if (typeof first === "function" || first === undefined) {
    // listen([callback]): any free port
    args.unshift(0, "127.0.0.1");
  }
  return listen.apply(this, args);
};

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) {
    process.exit(1);
  }
}, 1000).unref();
