// Asks the browser for a passkey and sends its answer with the form that has the question: what is
// shown without JavaScript goes on working without it.
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const text = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const named = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

  const use = async (asked) => {
    const publicKey = {
      ...asked,
      challenge: bytes(asked.challenge),
      allowCredentials: named(asked.allowCredentials),
    };
    const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
    return {
      id,
      rawId: text(rawId),
      type,
      response: {
        authenticatorData: text(response.authenticatorData),
        clientDataJSON: text(response.clientDataJSON),
        signature: text(response.signature),
        userHandle: response.userHandle ? text(response.userHandle) : null,
      },
    };
  };

  const create = async (asked) => {
    const publicKey = {
      ...asked,
      challenge: bytes(asked.challenge),
      user: { ...asked.user, id: bytes(asked.user.id) },
      excludeCredentials: named(asked.excludeCredentials),
    };
    const { id, rawId, type, response } = await navigator.credentials.create({ publicKey });
    return {
      id,
      rawId: text(rawId),
      type,
      response: {
        attestationObject: text(response.attestationObject),
        clientDataJSON: text(response.clientDataJSON),
      },
    };
  };

  for (const element of document.querySelectorAll("[data-passkeys]")) element.hidden = false;
  for (const element of document.querySelectorAll("[data-no-passkeys]")) element.hidden = true;

  for (const form of document.querySelectorAll("form[data-request], form[data-creation]")) {
    const { request, creation } = form.dataset;
    const { assertion, attestation, code } = form.elements;
    const failure = form.querySelector("[data-failure]");
    if (code && request) code.required = false;
    let answered = false;
    form.addEventListener("submit", async (event) => {
      if (answered) return;
      const button = event.submitter ?? form.querySelector("button");
      const proves = request && !code?.value.trim();
      const creates = creation && "creates" in button.dataset;
      if (!proves && !creates) return;
      event.preventDefault();
      failure.hidden = true;
      button.disabled = true;
      try {
        if (proves) assertion.value = JSON.stringify(await use(JSON.parse(request)));
        if (creates) attestation.value = JSON.stringify(await create(JSON.parse(creation)));
        answered = true;
      } catch (error) {
        failure.textContent = error.name === "InvalidStateError" ? failure.dataset.known : failure.dataset.failure;
        failure.hidden = false;
        return;
      } finally {
        button.disabled = false;
      }
      form.requestSubmit(button);
    });
  }
})();
