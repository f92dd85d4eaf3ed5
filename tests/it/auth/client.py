"""AWS's own SDK for Python, told what to do: a job a line in, an outcome a line out, both JSON."""

import datetime
import json
import sys
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.exceptions
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

now = botocore.auth.get_current_datetime


def call(job):
    """An operation of App Mesh's client."""
    signed = {} if job["secret"] else {"signature_version": UNSIGNED}
    client = boto3.client(
        "appmesh",
        endpoint_url=job["url"],
        region_name=job["region"],
        aws_access_key_id=job["key"],
        aws_secret_access_key=job["secret"] or "none",
        aws_session_token=job["token"],
        config=Config(retries={"total_max_attempts": 1}, **signed),
    )
    try:
        answer = getattr(client, job["operation"])(**job["arguments"])
        code, message = None, None
    except botocore.exceptions.ClientError as error:
        answer = error.response
        code, message = answer["Error"]["Code"], answer["Error"].get("Message", "")
    meta = answer["ResponseMetadata"]
    return {
        "status": meta["HTTPStatusCode"],
        "code": code,
        "message": message,
        "headers": meta["HTTPHeaders"],
    }


def presigned(job):
    """A GET of a URL that was signed, and perhaps changed afterwards."""
    request = AWSRequest("GET", job["url"] + job["path"])
    credentials = Credentials(job["key"], job["secret"], job["token"])
    signer = botocore.auth.SigV4QueryAuth(credentials, "appmesh", job["region"], job["expires"])
    signer.add_auth(request)
    try:
        with urllib.request.urlopen(request.url + job["more"]) as answer:
            return {"status": answer.status, "code": None, "message": "", "headers": {}}
    except urllib.error.HTTPError as error:
        headers = {name.lower(): value for name, value in error.headers.items()}
        return {
            "status": error.code,
            "code": headers.get("x-amzn-errortype"),
            "message": error.read().decode(),
            "headers": headers,
        }


for line in sys.stdin:
    job = json.loads(line)
    shift = datetime.timedelta(seconds=job["shift"])
    botocore.auth.get_current_datetime = lambda: now() + shift
    outcome = presigned(job) if job["path"] else call(job)
    print(json.dumps(outcome), flush=True)
