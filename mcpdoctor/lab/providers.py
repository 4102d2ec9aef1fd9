"""Where keys come from, in the lab: AWS STS, single sign-on, the sign-in service, and metadata services.

All give the made-up keys of the lab, to whoever shows its made-up tokens. STS is at its real names over TLS; everything
is at a path on plain HTTP, to which botocore is pointed with environment variables (`ENVIRONMENTS`). Requests and
answers are as the service models of AWS and its documentation have them; refusals are the documented ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import uuid4

from mcpdoctor.lab import accounts, sigv4
from mcpdoctor.lab.doors import verify
from mcpdoctor.lab.messages import Answer, Reaction, Request, Silence, in_json, request_id

SSO_TOKEN = "made-up-lab-sso-token/EXAMPLE"  # noqa: S105 - made up, and public
"""The access token of a login of single sign-on that is good."""
REFRESH_TOKEN = "made-up-lab-refresh-token/EXAMPLE"  # noqa: S105 - made up, and public
"""The refresh token of a login that can be renewed."""
ROLE = f"arn:aws:iam::{accounts.ACCOUNT}:role/lab"
"""A role that the keys of the lab may assume; any other is refused."""

STS_REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-northeast-1")
STS_HOSTS = tuple(f"sts.{region}.amazonaws.com" for region in STS_REGIONS)

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "services": {
        "AWS_ENDPOINT_URL_STS": "{http}/sts/us-east-1",
        "AWS_ENDPOINT_URL_SSO": "{http}/sso",
        "AWS_ENDPOINT_URL_SSO_OIDC": "{http}/sso-oidc",
        "AWS_ENDPOINT_URL_SIGNIN": "{http}/signin",
    },
    "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/container/session"},
    "container-broken": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/container/broken"},
    "instance": {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{http}/imds/session",
        "AWS_EC2_METADATA_DISABLED": "false",
    },
    "instance-denied": {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{http}/imds/denied",
        "AWS_EC2_METADATA_DISABLED": "false",
    },
    "instance-silent": {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{http}/imds/silent",
        "AWS_EC2_METADATA_DISABLED": "false",
    },
}
"""Environment variables that lead botocore to the lab, by what they stand in for; `{http}` is its base URL."""

_METADATA = "latest/meta-data/iam/security-credentials/"
_KEY_LASTS = timedelta(hours=1)
_LOGIN_LASTS_S = 900
_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"


def react(request: Request) -> Reaction | None:
    """What is done with a request to a provider; None for a request to something else."""
    if found := re.fullmatch(r"sts\.([a-z0-9-]{1,40})\.amazonaws\.com", request.host):
        return _sts(request, found[1])
    if found := re.fullmatch(r"/sts/([a-z0-9-]{1,40})/?", request.path):
        return _sts(request, found[1])
    for start, do in _BY_PATH.items():
        if request.path.startswith(start):
            return do(request, request.path.removeprefix(start))
    return None


# metadata services ----------------------------------------------------------------------------------------------------


def _in_json(key: sigv4.Key) -> dict[str, str]:
    ends = datetime.now(UTC) + _KEY_LASTS
    return {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret,
        "Token": key.token or "",
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _container(_: Request, name: str) -> Reaction:
    if name == "silent":
        return Silence()
    if name not in accounts.IDENTITIES:
        return Answer(status=500, headers=(("content-type", "text/plain"),), body=b"the agent is not ready")
    return in_json(_in_json(accounts.IDENTITIES[name]))


def _instance(request: Request, rest: str) -> Reaction:
    name, _, path = rest.partition("/")
    if name == "silent":
        return Silence()
    key = accounts.IDENTITIES.get(name)
    if path == "latest/api/token" and request.method == "PUT":
        return Answer(headers=(("content-type", "text/plain"),), body=b"made-up-lab-metadata-token")
    if key is None or request.header("x-aws-ec2-metadata-token") is None:
        return Answer(status=404 if key is None else 401)
    if path == _METADATA:
        return Answer(headers=(("content-type", "text/plain"),), body=b"lab-role")
    if path == f"{_METADATA}lab-role":
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return in_json({"Code": "Success", "LastUpdated": stamp, "Type": "AWS-HMAC", **_in_json(key)})
    return Answer(status=404)


# single sign-on and sign-in -------------------------------------------------------------------------------------------


def _json_error(error_type: str, status: int, **body: str) -> Answer:
    return in_json(body, status=status, headers=(("x-amzn-errortype", error_type), *request_id()))


def _sso(request: Request, path: str) -> Reaction:
    """GetRoleCredentials of the portal."""
    if path != "federation/credentials":
        return _json_error("ResourceNotFoundException", 404, message="Not Found")
    if request.header("x-amz-sso_bearer_token") != SSO_TOKEN:
        return _json_error("UnauthorizedException", 401, message="Session token not found or invalid")
    asked = parse_qs(request.query)
    if asked.get("role_name") != ["lab"]:
        return _json_error("ForbiddenException", 403, message="No access")
    key = accounts.SESSION
    ends_ms = int((datetime.now(UTC) + _KEY_LASTS).timestamp() * 1000)
    role = {
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret,
        "sessionToken": key.token,
        "expiration": ends_ms,
    }
    return in_json({"roleCredentials": role})


def _oidc(request: Request, path: str) -> Reaction:
    """CreateToken: renew a login of single sign-on."""
    if path != "token" or request.rpc.get("refreshToken") != REFRESH_TOKEN:
        return _json_error("InvalidGrantException", 400, error="invalid_grant", error_description="Invalid grant")
    return in_json({"accessToken": SSO_TOKEN, "tokenType": "Bearer", "expiresIn": 3600, "refreshToken": REFRESH_TOKEN})


def _sign_in(request: Request, path: str) -> Reaction:
    """CreateOAuth2Token: renew a login of `aws login`."""
    if path != "v1/token" or request.rpc.get("refreshToken") != REFRESH_TOKEN:
        return _json_error("AccessDeniedException", 403, error="TOKEN_EXPIRED", message="The token has expired")
    key = accounts.SESSION
    access = {"accessKeyId": key.access_key_id, "secretAccessKey": key.secret, "sessionToken": key.token}
    return in_json(
        {
            "accessToken": access,
            "tokenType": "aws_sigv4",
            "expiresIn": _LOGIN_LASTS_S,
            "refreshToken": REFRESH_TOKEN,
        }
    )


# AWS STS --------------------------------------------------------------------------------------------------------------


def _sts(request: Request, region: str) -> Reaction:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", errors="replace")).items()}
    action = form.get("Action", "")
    if action == "AssumeRoleWithWebIdentity":
        return _assumed(action, form)
    found = verify(request, service="sts", region=region, keys=accounts.KEYS)
    if isinstance(found, sigv4.Refusal):
        # STS has a name of its own for keys that it does not know.
        unknown = found.error_type == "UnrecognizedClientException"
        if unknown:
            return _sts_error("InvalidClientTokenId", "The security token included in the request is invalid.")
        names = {"ExpiredTokenException": "ExpiredToken", "InvalidSignatureException": "SignatureDoesNotMatch"}
        return _sts_error(names.get(found.error_type, found.error_type), found.message)
    if action == "GetCallerIdentity":
        # The denied caller too: "No permissions are required to perform this operation".
        return _xml(
            action,
            f"<Arn>{found.key.arn}</Arn><UserId>AIDALABEXAMPLEUSERID2</UserId><Account>{accounts.ACCOUNT}</Account>",
        )
    if action == "AssumeRole":
        if form.get("RoleArn") != ROLE:
            said = (
                f"User: {found.key.arn} is not authorized to perform: sts:AssumeRole on resource: {form.get('RoleArn')}"
            )
            return _sts_error("AccessDenied", said)
        return _assumed(action, form)
    return _sts_error("InvalidAction", f"Could not find operation {action} for version 2011-06-15", status=400)


def _assumed(action: str, form: Mapping[str, str]) -> Answer:
    key = accounts.SESSION
    ends = (datetime.now(UTC) + _KEY_LASTS).strftime("%Y-%m-%dT%H:%M:%SZ")
    arn = f"arn:aws:sts::{accounts.ACCOUNT}:assumed-role/lab/{form.get('RoleSessionName', 'none')}"
    return _xml(
        action,
        f"<AssumedRoleUser><AssumedRoleId>AROALABEXAMPLEROLEID2:lab</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>"
        f"<Credentials><AccessKeyId>{key.access_key_id}</AccessKeyId><SecretAccessKey>{key.secret}</SecretAccessKey>"
        f"<SessionToken>{key.token}</SessionToken><Expiration>{ends}</Expiration></Credentials>",
    )


def _xml(action: str, result: str) -> Answer:
    body = (
        f'<{action}Response xmlns="{_XMLNS}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(headers=(("content-type", "text/xml"), *request_id()), body=body.encode())


def _sts_error(code: str, message: str, *, status: int = 403) -> Answer:
    body = (
        f'<ErrorResponse xmlns="{_XMLNS}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>'
        f"</Error><RequestId>{uuid4()}</RequestId></ErrorResponse>"
    )
    return Answer(status=status, headers=(("content-type", "text/xml"), *request_id()), body=body.encode())


_BY_PATH: dict[str, Callable[[Request, str], Reaction]] = {
    "/container/": _container,
    "/imds/": _instance,
    "/sso/": _sso,
    "/sso-oidc/": _oidc,
    "/signin/": _sign_in,
}
