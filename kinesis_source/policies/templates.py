"""Policies as CloudFormation and Terraform: what is handed to whoever owns an account. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["cloudformation", "terraform"]


def cloudformation(
    name: str, permissions: dict[str, Any], trust: dict[str, Any] | None = None
) -> str:
    """Return a template: a role with its permissions, or without ``trust`` a managed policy.

    Parameters
    ----------
    name : str
        Of the role or the policy.
    permissions : dict
    trust : dict or None
        Who may assume the role.
    """
    if trust is None:
        resource: dict[str, Any] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"ManagedPolicyName": name, "PolicyDocument": permissions},
        }
        outputs: dict[str, Any] = {"PolicyArn": {"Value": {"Ref": "Access"}}}
    else:
        resource = {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": name,
                "AssumeRolePolicyDocument": trust,
                "Policies": [{"PolicyName": f"{name}-kinesis", "PolicyDocument": permissions}],
            },
        }
        outputs = {"RoleArn": {"Value": {"Fn::GetAtt": ["Access", "Arn"]}}}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Access of Apache Spark to Amazon Kinesis",
        "Resources": {"Access": resource},
        "Outputs": outputs,
    }
    return json.dumps(template, indent=2)


def terraform(name: str, permissions: dict[str, Any], trust: dict[str, Any] | None = None) -> str:
    """Return the same for Terraform's AWS provider."""
    label = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if trust is None:
        return (
            f'resource "aws_iam_policy" "{label}" {{\n'
            f'  name   = "{name}"\n'
            f"  policy = {_heredoc(permissions)}\n"
            "}\n"
        )
    return (
        f'resource "aws_iam_role" "{label}" {{\n'
        f'  name               = "{name}"\n'
        f"  assume_role_policy = {_heredoc(trust)}\n"
        "}\n\n"
        f'resource "aws_iam_role_policy" "{label}" {{\n'
        f'  name   = "{name}-kinesis"\n'
        f"  role   = aws_iam_role.{label}.id\n"
        f"  policy = {_heredoc(permissions)}\n"
        "}\n\n"
        f'output "{label}_arn" {{\n'
        f"  value = aws_iam_role.{label}.arn\n"
        "}\n"
    )


def _heredoc(document: dict[str, Any]) -> str:
    # "${" and "%{" would be Terraform's own; no ARN has them, an external id may.
    text = json.dumps(document, indent=2).replace("${", "$${").replace("%{", "%%{")
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    return f"<<-JSON\n{lines}\n  JSON"
