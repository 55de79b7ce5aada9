from oaicompat_proxy.api.openai.responses.approvals import approval_reply, approval_token


def test_the_id_of_a_request_holds_the_token_of_the_call():
    assert approval_token("mcpr_abc") == "confirm_abc"
    assert approval_token("mcpr_") is None
    assert approval_token("abc") is None


def test_a_response_is_what_a_chat_client_sends():
    assert approval_reply({"approve": True}) == '{"confirmed": true}'
    assert approval_reply({"approve": False, "reason": "no"}) == '{"confirmed": false, "reason": "no"}'
