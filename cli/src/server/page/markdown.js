// Markdown, as much of it as models write, by DOM calls alone.

const DEEPEST = 8;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:(\s+)(.*)|\s*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

// Shows a text in an element. What it shows already of the same text stays as it is, so that an answer
// which grows is drawn anew from its last block on.
function showMarkdown(place, text) {
  const sources = blocks(text.split("\n"));
  sources.forEach((source, at) => {
    const shown = place.children[at];
    if (shown?.source === source.key) return;
    const element = source.draw(0);
    element.source = source.key;
    if (shown) shown.replaceWith(element);
    else place.append(element);
  });
  while (place.children.length > sources.length) place.lastChild.remove();
}

// The blocks of some lines: each with the text that it is made of, and how it is drawn.
function blocks(lines) {
  const found = [];
  let at = 0;
  const add = (from, draw) => found.push({ key: lines.slice(from, at).join("\n"), draw });
  while (at < lines.length) {
    const line = lines[at];
    const start = at;
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (fence) {
      const isEnd = (line) => line.trim().startsWith(fence[1]) && !line.trim().slice(fence[1].length).replaceAll(fence[1][0], "");
      do at += 1; while (at < lines.length && !isEnd(lines[at]));
      const code = lines.slice(start + 1, at).join("\n");
      at = Math.min(at + 1, lines.length);
      add(start, () => drawCode(code, fence[2].trim()));
    } else if (heading) {
      at += 1;
      // Below the page's own headings.
      const tag = `h${Math.min(6, heading[1].length + 2)}`;
      add(start, (depth) => drawInline(el(tag), heading[2].trim().replace(/(^|\s)#+$/, ""), depth));
    } else if (RULE.test(line)) {
      at += 1;
      add(start, () => el("hr"));
    } else if (QUOTE.test(line)) {
      while (at < lines.length && QUOTE.test(lines[at])) at += 1;
      const inner = lines.slice(start, at).map((line) => line.replace(QUOTE, ""));
      add(start, (depth) => drawBlocks(el("blockquote"), inner, depth + 1));
    } else if (ITEM.test(line)) {
      at = listEnd(lines, at);
      const own = lines.slice(start, at);
      add(start, (depth) => drawList(own, depth));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
      at += 2;
      while (at < lines.length && lines[at].includes("|")) at += 1;
      const own = lines.slice(start, at);
      add(start, (depth) => drawTable(own, depth));
    } else {
      do at += 1; while (at < lines.length && lines[at].trim() && !beginsBlock(lines[at]));
      const own = lines.slice(start, at).join("\n");
      add(start, (depth) => drawInline(el("p"), own, depth));
    }
  }
  return found;
}

const beginsBlock = (line) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((form) => form.test(line));

function drawBlocks(place, lines, depth) {
  const drawn = depth > DEEPEST ? lines : blocks(lines).map((block) => block.draw(depth));
  place.append(...drawn);
  return place;
}

const kindOf = (marker) => (/\d/.test(marker) ? marker.at(-1) : marker);

// Where a list ends: at a line that is neither an item of its kind nor belongs to one.
function listEnd(lines, start) {
  const kind = kindOf(ITEM.exec(lines[start])[2]);
  let at = start + 1;
  for (; at < lines.length; at += 1) {
    const line = lines[at];
    const item = ITEM.exec(line);
    if (!line.trim() || /^\s{2,}/.test(line) || (item && kindOf(item[2]) === kind)) continue;
    if (item || !lines[at - 1].trim() || beginsBlock(line)) break;
  }
  while (!lines[at - 1].trim()) at -= 1;
  return at;
}

function drawList(lines, depth) {
  const first = ITEM.exec(lines[0]);
  const isNumbered = /\d/.test(first[2]);
  const list = isNumbered ? el("ol", { start: parseInt(first[2], 10) }) : el("ul");
  let own = [];
  const finish = () => own.length && list.append(drawBlocks(el("li"), own, depth + 1));
  let indent = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && (!own.length || item[1].length < indent)) {
      finish();
      indent = item[1].length + item[2].length + Math.min(item[3]?.length ?? 1, 4);
      own = [item[4] ?? ""];
    } else {
      own.push(line.replace(new RegExp(`^\\s{0,${indent}}`), ""));
    }
  }
  finish();
  return list;
}

function drawTable(lines, depth) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const sides = cells(lines[1]).map((rule) => (rule.endsWith(":") ? "number" : ""));
  const row = (line, tag) => {
    const texts = cells(line);
    return el("tr", {}, sides.map((side, at) => drawInline(el(tag, { className: side }), texts[at] ?? "", depth)));
  };
  const body = lines.slice(2).map((line) => row(line, "td"));
  return el("div", { className: "scrolled", tabIndex: 0 }, el("table", {}, el("thead", {}, row(lines[0], "th")), el("tbody", {}, body)));
}

function drawCode(code, language) {
  const head = el("div", { className: "row" }, el("span", {}, language.split(/\s/)[0]), copyButton(code));
  return el("div", { className: "code" }, head, el("pre", { tabIndex: 0 }, el("code", {}, code)));
}

// What can stand within a line, and what it becomes. What has no end nearby is no mark.
const INLINE = [
  [/\\([!-/:-@[-`{-~])/y, ([, sign]) => sign],
  [/(`+)([^`]|[^`][^]{0,2000}?[^`])\1(?!`)/y, ([, , code]) => el("code", {}, code.replace(/^ ([^]*[^ ][^]*) $/, "$1"))],
  [/!?\[((?:[^[\]\\]|\\.){0,2000})\]\(\s*<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/y, ([, text, target], depth) => drawLink(target, text, depth)],
  [/<?\b(https?:\/\/[^\s<>"`]*[^\s<>"`.,;:!?'*_)\]])>?/y, ([, target]) => drawLink(target, target, DEEPEST)],
  [/\*\*\*(?=\S)([^]{0,2000}?\S)\*\*\*/y, ([, text], depth) => el("strong", {}, drawInline(el("em"), text, depth))],
  [/(\*\*|\b__|~~)(?=\S)([^]{0,2000}?\S)\1(?!\w*_)/y, ([, mark, text], depth) => drawInline(el(mark === "~~" ? "del" : "strong"), text, depth)],
  [/(\*|\b_)(?=[^\s*_])([^]{0,2000}?[^\s*_])\1(?![\w*])/y, ([, , text], depth) => drawInline(el("em"), text, depth)],
];

function drawInline(place, text, depth) {
  let plain = "";
  for (let at = 0; at < text.length;) {
    let [length, drawn] = [1, text[at]];
    // Letters and spaces begin nothing, but for an address.
    for (const [form, draw] of /[^a-gi-zA-Z\d\s]/.test(drawn) ? INLINE : []) {
      form.lastIndex = at;
      const found = depth < DEEPEST && form.exec(text);
      const made = found && draw(found, depth + 1);
      if (made) {
        [length, drawn] = [found[0].length, made];
        break;
      }
    }
    at += length;
    if (typeof drawn === "string") {
      plain += drawn;
    } else {
      place.append(plain, drawn);
      plain = "";
    }
  }
  place.append(plain);
  return place;
}

function drawLink(target, text, depth) {
  const href = webAddress(target);
  return href && drawInline(el("a", { href, target: "_blank", rel: "noopener noreferrer" }), text || href, depth);
}

// An address of the web, and of nothing else: no scripts, no files.
function webAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
