"""Rows about OAuth and bearer tokens: 29 to 36b, 55 and 56."""

from __future__ import annotations

from collections.abc import Callable

from field.bench import Bench, Case, Shown
from mcpdoctor.lab import logins, tokens

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
CHECK_RUNTIME = "mcpdoctor check https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/ARN/invocations"
SIGN_IN = "https://us-east-1.oauth.signin.aws"
OAUTH = "https://docs.aws.amazon.com/agent-toolkit/latest/userguide/oauth-authentication.html"


def told(text: str) -> Callable[[Bench], Shown]:
    """The client printed this."""
    return lambda bench: bench.explain(text)


def _anonymous(bench: Bench) -> Shown:
    return bench.check("aws-mcp", "-c", "none")


def _anonymous_entry(bench: Bench) -> Shown:
    entry = f'{{"mcpServers": {{"aws-mcp": {{"url": "{AWS_MCP}"}}}}}}\n'
    return bench.lint({".cursor/mcp.json": entry})


def _fault(name: str, *arguments: str) -> Callable[[Bench], Shown]:
    return lambda bench: bench.check(bench.fault(name), *arguments)


def _expired(bench: Bench) -> Shown:
    token = tokens.mint(logins.AUDIENCE, valid_s=-3600)
    return bench.check(bench.fault("auth/method-mismatch"), "-c", "bearer:TOKEN", environ={"TOKEN": token})


def _token_for_signatures(bench: Bench) -> Shown:
    return bench.check(bench.lab.endpoints["agentcore-runtime"], "-c", f"bearer:{tokens.VARIABLE}")


CASES = (
    Case(
        rows=("29",),
        reported=("aws/agent-toolkit-for-aws#246",),
        symptom="Connected, 9 tools available; then every call fails, and no browser opens",
        command="mcpdoctor check aws-mcp -c none",
        check="auth-anonymous",
        says="append ?oauth=initialize to the URL",
        reproduce=_anonymous,
    ),
    Case(
        rows=("29",),
        reported=("aws/agent-toolkit-for-aws#246",),
        symptom="the same, seen in the file of a client that signs in only where it must",
        command="mcpdoctor lint .cursor/mcp.json",
        check="config-anonymous",
        says="only documentation tools will work",
        reproduce=_anonymous_entry,
    ),
    Case(
        rows=("30",),
        reported=("CommandCodeAI/command-code#692",),
        symptom="the browser shows a 400 page at once in place of the login of AWS",
        command="mcpdoctor explain login.log",
        check="client-oauth-page-refused",
        says="the client sends no resource= (the URL of the MCP endpoint)",
        reproduce=told(
            f"Error: OAuth login failed: {SIGN_IN}/v1/authorize?client_id=x answered HTTP 400 (text/html)\n"
        ),
    ),
    Case(
        rows=("31",),
        reported=("diillson/chatcli#1308",),
        symptom="400 about redirect_uri after the login, at every new try",
        command="mcpdoctor explain login.log",
        check="client-oauth-registration-gone",
        says="Delete the OAuth registration and tokens that the client has stored",
        reproduce=told("Error: OAuth login failed: HTTP 400 Bad Request: redirect_uri does not match\n"),
    ),
    Case(
        rows=("32",),
        reported=(OAUTH,),
        symptom="400 invalid_redirect_uri: The redirection URI https://… is not allowed by this server.",
        command="mcpdoctor explain login.log",
        check="client-oauth-redirect-not-allowed",
        says="only addresses of this machine (localhost, 127.0.0.1) and those of a fixed list of vendors",
        reproduce=told(
            'Error: client registration failed: HTTP 400: {"error":"invalid_redirect_uri","error_description":'
            '"The redirection URI https://app.example/callback is not allowed by this server."}\n'
        ),
    ),
    Case(
        rows=("33",),
        reported=("vercel/ai#17334",),
        symptom="ZodError about code_challenge_methods_supported before any login",
        command="mcpdoctor explain agent.log",
        check="client-oauth-metadata-field",
        says="AWS Sign-in does not publish it",
        reproduce=told(
            'ZodError: [{"code":"invalid_type","expected":"array","received":"undefined",'
            '"path":["code_challenge_methods_supported"],"message":"Required"}]\n'
        ),
    ),
    Case(
        rows=("33",),
        reported=("vercel/ai#17334",),
        symptom="the same, asked of the server itself",
        command=f"mcpdoctor check '{AWS_MCP}?oauth=initialize' -c none",
        check="auth-no-pkce-named",
        says="has no code_challenge_methods_supported",
        reproduce=lambda bench: bench.check(f"{AWS_MCP}?oauth=initialize", "-c", "none"),
    ),
    Case(
        rows=("34",),
        reported=(OAUTH,),
        symptom="a 400 page after signing in",
        command="mcpdoctor explain login.log",
        check="client-oauth-page-refused",
        says="lacks signin:AuthorizeOAuth2Access and signin:CreateOAuth2Token",
        reproduce=told(f"HTTP 400 from {SIGN_IN}/v1/authorize\n"),
    ),
    Case(
        rows=("35",),
        reported=("anthropics/claude-code#67258",),
        symptom="Incompatible auth server: does not support dynamic client registration",
        command="mcpdoctor explain claude.log",
        check="client-oauth-no-registration",
        says="Cognito has none",
        reproduce=told("Error: Incompatible auth server: does not support dynamic client registration\n"),
    ),
    Case(
        rows=("35",),
        reported=("anthropics/claude-code#67258",),
        symptom="the same, asked of the gateway itself",
        command="mcpdoctor check https://GATEWAY/mcp -c none",
        check="auth-no-registration",
        says="has no registration_endpoint",
        reproduce=_fault("auth/no-registration", "-c", "none"),
    ),
    Case(
        rows=("36",),
        reported=("anthropics/claude-ai-mcp#748",),
        symptom="connecting fails behind API Gateway, and no login begins",
        command="mcpdoctor check https://API.execute-api.us-east-1.amazonaws.com/prod/mcp -c none",
        check="auth-challenge-renamed",
        says="API Gateway renames that header to x-amzn-remapped-www-authenticate",
        reproduce=_fault("auth/renamed-challenge", "-c", "none"),
    ),
    Case(
        rows=("36a",),
        reported=("https://code.claude.com/docs/en/mcp",),
        symptom="no tools of aws-mcp in the session; claude mcp list says Pending approval",
        command="mcpdoctor explain claude-mcp-list.txt",
        check="client-approval-pending",
        says="defined in .mcp.json but not approved in this clone",
        reproduce=told(
            f"Checking MCP server health…\n\naws-mcp: uvx mcp-proxy-for-aws-cli@latest {AWS_MCP} - "
            "⏸ Pending approval (run `claude` to approve)\n"
        ),
    ),
    Case(
        rows=("36b",),
        reported=("https://code.claude.com/docs/en/mcp",),
        symptom="only mcp__aws-mcp__authenticate as a tool, although claude mcp list says Connected",
        command="mcpdoctor explain claude.log",
        check="client-needs-auth-cached",
        says="claude mcp logout aws-mcp",
        reproduce=told(
            '2026-09-01T10:00:00.000Z [DEBUG] MCP server "aws-mcp": Skipping connection (cached needs-auth)\n'
        ),
    ),
    Case(
        rows=("55",),
        reported=("aws/agentcore-cli#714",),
        symptom="403 Authorization method mismatch for a signed request",
        command=CHECK_RUNTIME,
        check="auth-method-mismatch",
        says="most likely it expects an OAuth token (JWT)",
        reproduce=_fault("auth/method-mismatch", "-s", "bedrock-agentcore", "-r", "us-east-1", "-c", "env"),
    ),
    Case(
        rows=("55",),
        reported=("aws/agentcore-cli#714",),
        symptom="the same for a token",
        command=f"{CHECK_RUNTIME} -c bearer:TOKEN",
        check="auth-method-mismatch",
        says="most likely it expects an AWS signature (SigV4)",
        reproduce=_token_for_signatures,
    ),
    Case(
        rows=("56",),
        reported=("awslabs/amazon-bedrock-agentcore-samples#142",),
        symptom="403 from a runtime of the tutorial that worked an hour ago",
        command=f"{CHECK_RUNTIME} -c bearer:TOKEN",
        check="auth-token-expired",
        says="by its own words it expired at",
        reproduce=_expired,
    ),
)
