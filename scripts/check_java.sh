#!/usr/bin/env bash
# Succeeds where Spark 4 finds a Java that it runs on, else says how to get one.
set -euo pipefail
java=java
[ -n "${JAVA_HOME:-}" ] && java="$JAVA_HOME/bin/java"

explain() {
  cat >&2 <<MESSAGE
$1 Spark 4 needs Java 17 or later. Install it, for example
  Debian, Ubuntu:  sudo apt-get install openjdk-17-jre-headless
  macOS:           brew install openjdk@17
  Fedora, Amazon:  sudo dnf install java-17-amazon-corretto-headless
and, if it is not the first java on the PATH, set JAVA_HOME.
MESSAGE
  exit 1
}

command -v "$java" >/dev/null 2>&1 || explain "No Java was found ($java)."
version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
[ -n "$version" ] || explain "'$java -version' printed no version."
[ "$version" -ge 17 ] || explain "'$java' is Java $version."
