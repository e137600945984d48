// A message as it is shown, and what can be done with it.

function drawMessage(chat, node) {
  const isAnswer = node.role === "assistant";
  const text = el("div", { className: "text" });
  const note = el("p", { className: "note", hidden: true });
  const foot = el("p", { className: "foot" });
  const element = el("article", { className: node.role, ariaLabel: isAnswer ? "Answer" : "You" }, text, note, foot);
  element.node = node;
  element.siblings = childrenOf(chat, node.parent).length;
  element.update = isAnswer ? () => updateAnswer(chat, node, { text, note, foot }) : () => {};
  if (isAnswer) {
    element.update();
  } else {
    text.append(node.text);
    if (node.text.length > 2000) text.tabIndex = 0;
    foot.append(branches(chat, node), button("Edit", () => editMessage(chat, element)), copyButton(node.text));
  }
  return element;
}

// Which of several messages in one place this is, and ways to the others.
function branches(chat, node) {
  const siblings = childrenOf(chat, node.parent);
  const at = siblings.indexOf(node);
  if (siblings.length < 2) return "";
  const go = (label, name, to) => button(label, () => goTo(chat, siblings[to]), { ariaLabel: name, disabled: !siblings[to] });
  const place = el("span", { className: "place" }, `${at + 1}/${siblings.length}`);
  return el("span", { className: "branches" }, go("‹", "The one before", at - 1), place, go("›", "The one after", at + 1));
}

function updateAnswer(chat, node, { text, note, foot }) {
  const isOpen = node.state === "open";
  if (isOpen && !node.text) showProgress(text, node.progress);
  else if (node.text) showMarkdown(text, node.text);
  else text.replaceChildren();
  const tokens = node.usage?.completion_tokens ?? node.pieces;
  const facts = [tokens && counted(tokens, "token"), node.rate && `${node.rate < 100 ? node.rate.toFixed(1) : number(Math.round(node.rate))} tokens/s`];
  const said = facts.filter((fact) => fact).join(", ");
  if (isOpen) {
    foot.textContent = said;
    return;
  }
  const receipt = node.receipt && button(`Receipt ${node.receipt.logits_hash.slice(0, 8)}`, () => showReceipt(chat, node), { className: "receipt" });
  const again = node.state === "failed" ? "" : button("Again", () => answerAgain(chat, node));
  foot.replaceChildren(branches(chat, node), node.text ? copyButton(node.text) : "", again, receipt ?? "", el("span", {}, said));
  note.hidden = node.state === "done";
  note.replaceChildren(...noteOn(chat, node));
  note.classList.toggle("trouble", node.state === "failed");
}

// What is to be said about an answer that did not come to its own end.
function noteOn(chat, node) {
  switch (node.state) {
    case "length": {
      const written = node.usage?.completion_tokens;
      const isLimit = written === node.settings.max_tokens;
      const why = isLimit
        ? `The answer was cut off at the limit of ${counted(written, "token")}. `
        : "The answer was cut off: the context is full, or it is the server's limit. ";
      return [why, button("Continue", () => send(chat, node, "Continue."))];
    }
    case "stopped":
      return ["Stopped."];
    case "cut":
      return ["The page was closed before the answer was complete."];
    case "failed":
      return [`${node.trouble ?? "It failed."} `, button("Try again", () => answerAgain(chat, node))];
    default:
      return [];
  }
}

// How far a prompt is read, and about how long that takes yet.
function showProgress(place, progress) {
  let [line, bar] = place.children;
  if (!bar) {
    [line, bar] = [el("p", { className: "hint" }), el("progress", { max: 1, ariaLabel: "Prompt read" })];
    place.replaceChildren(line, bar);
  }
  const { total, cache, processed, time_ms: time } = progress ?? {};
  bar.value = total ? processed / total : 0;
  if (!total) {
    line.textContent = "Waiting for the model";
    return;
  }
  const left = processed > cache ? ((total - processed) * time) / (processed - cache) / 1000 : 0;
  const rest = left >= 1 ? `, about ${duration(left)} more` : "";
  line.textContent = `Reading: ${number(processed)} of ${counted(total, "token")}${rest}`;
}

// Turns a message into a field; what is sent from there is another message in its place.
function editMessage(chat, element) {
  const { node } = element;
  const field = el("textarea", { value: node.text, ariaLabel: "Edit your message", rows: Math.min(12, node.text.split("\n").length + 1) });
  const close = () => {
    form.replaceWith(drawMessage(chat, node));
    $.question.focus();
  };
  const submit = () => {
    const text = field.value.trim();
    if (text && !running.has(chat)) send(chat, parentOf(chat, node), text);
  };
  field.onkeydown = (event) => {
    if (isSend(event)) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
  };
  const row = el("p", { className: "row" }, button("Cancel", close), button("Send", submit, { className: "main" }));
  const form = el("article", { className: "user editing", ariaLabel: "You" }, field, row);
  // It stays where it is while answers come.
  Object.assign(form, { node, siblings: element.siblings, update() {} });
  element.replaceWith(form);
  field.focus();
}
