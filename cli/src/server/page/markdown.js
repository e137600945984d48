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
  if (depth > DEEPEST) return el("p", {}, lines.join("\n"));
  place.append(...blocks(lines).map((block) => block.draw(depth)));
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
  const finish = () => {
    if (!own.length) return;
    const item = drawBlocks(el("li"), own, depth + 1);
    list.append(item.tagName === "LI" ? item : el("li", {}, item));
  };
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
  const sides = cells(lines[1]).map((rule) => (/^:.*:$/.test(rule) ? "center" : rule.endsWith(":") ? "right" : ""));
  const row = (line, tag) => el("tr", {}, sides.map((side, at) => drawInline(el(tag, { className: side }), cells(line)[at] ?? "", depth)));
  const body = lines.slice(2).map((line) => row(line, "td"));
  return el("div", { className: "scrolled", tabIndex: 0 }, el("table", {}, el("thead", {}, row(lines[0], "th")), el("tbody", {}, body)));
}

function drawCode(code, language) {
  const press = button("Copy", () => copy(code, press), { ariaLabel: "Copy code" });
  const head = el("div", { className: "row" }, el("span", {}, language.split(/\s/)[0]), press);
  return el("div", { className: "code" }, head, el("pre", { tabIndex: 0 }, el("code", {}, code)));
}

// What can stand within a line, by the character that it begins with.
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const TICKS = /`+/y;
const LINK = /!?\[((?:[^[\]\\]|\\.)*)\]\(\s*<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/y;
const ADDRESS = /<?(https?:\/\/[^\s<>"`]*[^\s<>"`.,;:!?'*_)\]])>?/y;
const MARKS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

function drawInline(place, text, depth) {
  if (depth > DEEPEST) {
    place.append(text);
    return place;
  }
  let plain = "";
  let at = 0;
  // Marks that nothing closes any more.
  const open = new Set();
  const put = (element, length) => {
    place.append(plain, element);
    plain = "";
    at += length;
  };
  const match = (form) => {
    form.lastIndex = at;
    return form.exec(text);
  };
  while (at < text.length) {
    const found = match(ESCAPED);
    if (found) {
      plain += found[1];
      at += 2;
      continue;
    }
    const ticks = match(TICKS)?.[0];
    if (ticks) {
      const end = open.has(ticks) ? -1 : closing(text, at + ticks.length, ticks);
      if (end >= 0) {
        const code = text.slice(at + ticks.length, end).replaceAll("\n", " ");
        const isPadded = code.trim() && code.startsWith(" ") && code.endsWith(" ");
        put(el("code", {}, isPadded ? code.slice(1, -1) : code), end + ticks.length - at);
      } else {
        open.add(ticks);
        plain += ticks;
        at += ticks.length;
      }
      continue;
    }
    const link = "![".includes(text[at]) && match(LINK);
    const target = link && webAddress(link[2]);
    if (target) {
      put(drawInline(anchor(target), link[1] || target, depth + 1), link[0].length);
      continue;
    }
    const address = "<h".includes(text[at]) && !/\w/.test(text[at - 1] ?? "") && match(ADDRESS);
    if (address && webAddress(address[1])) {
      const shown = anchor(webAddress(address[1]));
      shown.append(address[1]);
      put(shown, address[0].length);
      continue;
    }
    const mark = marked(text, at, open);
    if (mark) {
      put(drawInline(el(mark.tag), text.slice(at + mark.length, mark.end), depth + 1), mark.end + mark.length - at);
      continue;
    }
    plain += text[at];
    at += 1;
  }
  place.append(plain);
  return place;
}

// Where exactly these ticks stand again.
function closing(text, from, ticks) {
  let at = text.indexOf(ticks, from);
  while (at >= 0) {
    let end = at + ticks.length;
    while (text[end] === "`") end += 1;
    if (end - at === ticks.length && text[at - 1] !== "`") return at;
    at = text.indexOf(ticks, end);
  }
  return -1;
}

// The emphasis that begins here, if it ends somewhere.
function marked(text, at, open) {
  if (!"*_~".includes(text[at])) return null;
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at) || open.has(mark)) continue;
    const start = at + mark.length;
    if (!/\S/.test(text[start] ?? " ") || (mark[0] === "_" && /\w/.test(text[at - 1] ?? ""))) continue;
    for (let end = text.indexOf(mark, start + 1); end >= 0; end = text.indexOf(mark, end + 1)) {
      const isWord = mark[0] === "_" && /\w/.test(text[end + mark.length] ?? "");
      const isLonger = mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark);
      if (/\S/.test(text[end - 1]) && !isWord && !isLonger) return { tag, end, length: mark.length };
    }
    open.add(mark);
  }
  return null;
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

const anchor = (href) => el("a", { href, target: "_blank", rel: "noopener noreferrer" });
