// Receipts: what makes the same answer elsewhere, and what shows that it is the same.

// What asks for an answer again: its request, with the seed that was drawn, and with the length that it
// had where nothing but the length ended it.
function requestOf(chat, node) {
  const request = { ...bodyFor(threadTo(chat, node).slice(0, -1), node.settings), seed: node.receipt.seed };
  if (node.state === "length") request.max_tokens = node.usage.completion_tokens;
  return request;
}

function commandOf(request) {
  const key = apiKey() ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "";
  const quoted = JSON.stringify(request).replaceAll("'", "'\\''");
  return `curl ${ORIGIN}/v1/chat/completions${key} \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
}

function showReceipt(chat, node) {
  const request = requestOf(chat, node);
  const { messages, seed, ...settings } = request;
  const chosen = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  const facts = {
    Model: node.model,
    Revision: node.fingerprint,
    Seed: String(seed),
    "Hash of the logits": node.receipt.logits_hash,
    Settings: chosen.join(", ") || "as the server has them",
    Tokens: `${number(node.usage?.prompt_tokens ?? 0)} read, ${number(node.usage?.completion_tokens ?? 0)} written`,
  };
  const command = commandOf(request);
  $.receiptFacts.replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value ?? "not told")]));
  $.receiptCommand.textContent = command;
  tell($.receiptCheck, null);
  $.receiptCopy.onclick = () => copy(command, $.receiptCopy);
  $.receiptAgain.onclick = () => checkReceipt(request, node);
  $.receipt.showModal();
}

// Asks once more, and compares.
async function checkReceipt(request, node) {
  const place = $.receiptCheck;
  $.receiptAgain.disabled = true;
  tell(place, "Asking once more.");
  try {
    const again = await (await post("v1/chat/completions", request)).json();
    const [choice] = again.choices;
    const isSame = choice.receipt?.logits_hash === node.receipt.logits_hash && choice.message.content === node.text;
    const other = `Not the same: ${again.system_fingerprint} answers here, and the hash is ${choice.receipt?.logits_hash}.`;
    tell(place, isSame ? "The same bits: text and hash are equal." : other);
  } catch (error) {
    tell(place, wordsOf(error));
  } finally {
    $.receiptAgain.disabled = false;
  }
}
