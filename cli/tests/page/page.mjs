// The page of `gatefold serve` in a real browser: Debian's chromium, with the demo model. By hand, from the
// repository's root, since the driver comes from a network:
//
//     apt-get install chromium nodejs
//     npm install --prefix target/page playwright-core@1.65.1
//     node cli/tests/page/page.mjs target/release/gatefold [FOLDER FOR PICTURES]
//
// CHROMIUM names another browser. It prints a line for each thing that holds, and fails at the first that
// does not. All the while no request may leave the server, and neither the policy nor the console may have
// anything to say but that requests failed which had to.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { answer, answered, ask, browse, download, give, lastText, overhang, paleTexts, serve, set, until } from "./harness.mjs";

const [gatefold, pictures] = process.argv.slice(2);
const REPORT = fs.readFileSync("demo/documents/incident-1.txt", "utf8").trim();
const documents = ["incident-1", "match-1", "letter-1", "weather-1", "meeting-1"].map((name) => `demo/documents/${name}.txt`);
const SUMMARIZE = `Summarize this text in one sentence.\n\n${REPORT}`;
// What the model has much to say to, with these settings and as the first of a chat: on every machine.
const [STORY, LONG] = ["Tell me of Silverby.", { temperature: 2, max_tokens: 900, seed: 4 }];
const HOSTILE = "# <img src=x onerror=alert(1)>\n\n[a](javascript:alert(1)) [b](data:text/html,x) [c](https://example.org/) <script>alert(1)</script>\n\n```html\n<iframe src=https://example.org></iframe>\n```\n\n![d](https://example.org/d.png)\n\n| e | f |\n|---|---|\n| **g** | `<b>` |";

const browser = await browse();
// Slow, so that there is time to look: small steps, on one thread, without vector instructions.
let server = await serve(gatefold, 0, "-b", "16", "-t", "1", "--isa", "scalar");
const page = await browser.open(server.base);
let n = 0;

async function holds(what, check) {
  try {
    await check();
    browser.isContent();
  } catch (error) {
    if (!page.isClosed()) await shoot(page, "failed");
    throw new Error(`this does not hold: ${what}`, { cause: error });
  }
  n += 1;
  console.log(`${String(n).padStart(2)}  ${what}`);
}

async function shoot(page, name) {
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`) });
}

const note = () => answer(page).locator(".note").innerText();
const place = (role) => page.locator(`article.${role} .place`).last().innerText();

await holds("a question is answered as it is typed and sent, and the answer has a receipt", async () => {
  await page.waitForFunction(() => document.activeElement.id === "question");
  await ask(page, SUMMARIZE);
  assert.match(await lastText(page), /landslip/);
  assert.match(await answer(page).locator(".foot").innerText(), /Receipt [0-9a-f]{8}\s*\d+ tokens, [\d.]+ tokens\/s/);
  assert.match(await page.innerText("#model"), /gatefold-demo, context of 1,024 tokens/);
});

await holds("the command in the receipt makes the same bits, and so does the check", async () => {
  await answer(page).locator(".receipt").click();
  const facts = await page.innerText("#receiptFacts");
  for (const name of ["Model", "Revision", "Seed", "Hash of the logits", "Settings", "Tokens"]) assert.ok(facts.includes(name), name);
  const command = await page.innerText("#receiptCommand");
  const again = JSON.parse(execFileSync("bash", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  assert.ok(facts.includes(again.choices[0].receipt.logits_hash) && facts.includes(again.system_fingerprint));
  assert.equal(again.choices[0].message.content, await lastText(page));
  await page.click("#receiptAgain");
  await page.waitForFunction(() => document.querySelector("#receiptCheck").textContent.startsWith("The same bits"));
  await page.click("#receiptCopy");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  await page.keyboard.press("Escape");
});

await holds("an answer grows, and is followed only by who is at its end", async () => {
  await page.keyboard.press("Alt+n");
  await set(page, LONG);
  await page.setViewportSize({ width: 400, height: 400 });
  await page.fill("#question", STORY);
  await page.keyboard.press("Enter");
  const lengths = new Set();
  await until("it has grown a few times", async () => lengths.add((await lastText(page)).length).size > 8);
  const gap = () => page.evaluate(() => { const box = document.querySelector("#messages"); return box.scrollHeight - box.scrollTop - box.clientHeight; });
  await until("there is more than fits", () => page.evaluate(() => { const box = document.querySelector("#messages"); return box.scrollHeight > box.clientHeight + 60; }));
  assert.ok((await gap()) < 50);
  await page.evaluate(() => (document.querySelector("#messages").scrollTop = 0));
  const length = (await lastText(page)).length;
  await until("it has grown meanwhile", async () => (await lastText(page)).length > length + 40);
  assert.equal(await page.evaluate(() => document.querySelector("#messages").scrollTop), 0);
});

await holds("Esc stops it, what had come stays, and the server is idle", async () => {
  await page.keyboard.press("Escape");
  await answered(page);
  assert.equal(await note(), "Stopped.");
  await server.isIdle();
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.ok((await server.metric("answers_cancelled_total")) >= 1);
  assert.ok((await lastText(page)).length > 40);
});

await holds("a reload in the middle keeps what had come, and says so", async () => {
  await page.keyboard.press("Alt+n");
  await page.fill("#question", STORY);
  await page.keyboard.press("Enter");
  await until("it has begun", async () => (await lastText(page)).length > 60);
  const draft = "Something that is not sent yet";
  await page.fill("#question", draft);
  await page.reload();
  await page.waitForSelector("nav a[aria-current]");
  assert.match(await note(), /The page was closed before the answer was complete/);
  assert.ok((await lastText(page)).length > 40);
  assert.equal(await page.inputValue("#question"), draft);
  assert.equal(await page.locator("article").count(), 2);
  await server.isIdle();
});

await holds("an answer is made again beside the first: another, or with a seed the same", async () => {
  await page.keyboard.press("Alt+n");
  await set(page, { temperature: 1, max_tokens: 30, seed: "" });
  await ask(page, "Write of the weather.");
  const first = await lastText(page);
  await answer(page).getByText("Again").click();
  await answered(page);
  assert.equal(await place("assistant"), "2/2");
  assert.notEqual(await lastText(page), first);
  await answer(page).getByLabel("The one before").click();
  assert.equal(await place("assistant"), "1/2");
  assert.equal(await lastText(page), first);
  await set(page, { seed: 7 });
  await page.keyboard.press("Alt+r");
  await answered(page);
  const third = await lastText(page);
  await page.keyboard.press("Alt+r");
  await answered(page);
  assert.equal(await place("assistant"), "4/4");
  assert.equal(await lastText(page), third);
});

await holds("an edited question begins a branch, and the old one stays", async () => {
  await ask(page, "And then?");
  await page.locator("article.user").first().getByText("Edit").click();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("Write of a match.");
  await page.keyboard.press("Enter");
  await answered(page);
  assert.equal(await page.locator("article").count(), 2);
  assert.equal(await place("user"), "2/2");
  await page.locator("article.user").first().getByLabel("The one before").click();
  assert.equal(await page.locator("article").count(), 4);
  assert.match(await page.locator("article.user").last().innerText(), /And then/);
});

await holds("an answer that its limit cut off says so, and goes on", async () => {
  await page.keyboard.press("Alt+n");
  await set(page, { temperature: 0, max_tokens: 5, seed: "" });
  await ask(page, SUMMARIZE);
  assert.match(await note(), /cut off at the limit of 5 tokens/);
  await answer(page).getByText("Continue").click();
  await answered(page);
  assert.equal(await page.locator("article").count(), 4);
});

await holds("while a prompt is read, how far is told", async () => {
  await page.keyboard.press("Alt+n");
  await page.fill("#question", `Who led the work?\n\n${REPORT.repeat(4)}`);
  await page.keyboard.press("Enter");
  const told = new Set();
  await until("the answer begins", async () => {
    const bar = page.locator("article.assistant progress");
    if (await bar.count()) told.add(await answer(page).locator(".text").innerText({ timeout: 1000 }).catch(() => ""));
    return (await page.locator("#send").isVisible());
  });
  const figures = [...told].map((text) => /Reading: (\d+) of (\d+) tokens/.exec(text)).filter((found) => found);
  assert.ok(figures.length >= 3, [...told].join());
  await shoot(page, "read");
});

await holds("a prompt that does not fit is refused with both numbers", () => browser.expecting(["400 (Bad Request)"], async () => {
  await ask(page, REPORT.repeat(20));
  assert.match(await note(), /\d{4} tokens do not fit into the context of 1024.*Shorten the text/);
}));

await holds("settings that cannot be are not sent", async () => {
  await page.keyboard.press("Alt+n");
  await set(page, { temperature: 3 });
  await page.fill("#question", "Why?");
  const articles = await page.locator("article").count();
  await page.keyboard.press("Escape");
  await page.focus("#question");
  await page.keyboard.press("Enter");
  assert.ok(await page.isVisible("#settings"));
  assert.equal(await page.locator("article").count(), articles);
  await page.click("#resetSettings");
  await page.keyboard.press("Escape");
});

await holds("a server that is gone is named in words, and asked again when it is back", () => browser.expecting(["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING"], async () => {
  await server.kill();
  await page.focus("#question");
  await page.keyboard.press("Enter");
  await answered(page);
  assert.match(await note(), /The server does not answer. Is gatefold serve running at http/);
  await until("the line at the foot says so", async () => /does not answer/.test(await page.innerText("#model")));
  await shoot(page, "gone");
  server = await serve(gatefold, server.port, "-b", "16", "-t", "1", "--isa", "scalar");
  await answer(page).getByText("Try again").click();
  await answered(page);
  assert.equal(await place("assistant"), "2/2");
  await until("the line at the foot knows the model", async () => /gatefold-demo/.test(await page.innerText("#model")));
}));

await holds("chats are exported, deleted and imported", async () => {
  const titles = () => page.locator("#chats .title").allInnerTexts();
  const before = await titles();
  const text = await download(page, "#export");
  assert.equal(JSON.parse(text).format, "gatefold-chats");
  const said = [];
  page.on("dialog", (dialog) => { said.push(dialog.message()); dialog.accept(); });
  for (let left = before.length; left > 0; left -= 1) await page.locator("#chats li").first().getByText("×").click();
  assert.deepEqual(await titles(), []);
  await give(page, "#import", { name: "x.json", mimeType: "application/json", buffer: Buffer.from("{}") });
  await until("it is refused", () => said.some((text) => /There are no chats in the file/.test(text)));
  await give(page, "#import", { name: "x.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await until("they are back", async () => (await titles()).length === before.length);
  await page.reload();
  await page.waitForSelector("nav a[aria-current]");
  assert.deepEqual(await titles(), before);
  const saidIn = (text) => JSON.parse(text).chats.map(({ id, nodes }) => [id, ...nodes.map((node) => [node.id, node.parent, node.text, node.state, node.receipt ?? null])]).sort();
  assert.deepEqual(saidIn(await download(page, "#export")), saidIn(text));
});

await holds("Markdown of an answer becomes elements, and none that do anything", async () => {
  const node = { id: "b", parent: "a", role: "assistant", text: HOSTILE, state: "done", settings: {} };
  const chat = { id: "hostile", title: "Hostile", created: 1, changed: Date.now(), settings: {}, chosen: {}, nodes: [{ id: "a", parent: null, role: "user", text: "<b>?" }, node, { ...node, id: "c", parent: "nowhere" }, { id: "d", parent: "d", role: "user", text: "" }, null] };
  const file = JSON.stringify({ format: "gatefold-chats", version: 1, chats: [chat, null, { id: 3 }] });
  await give(page, "#import", { name: "x.json", mimeType: "application/json", buffer: Buffer.from(file) });
  await page.click("#chats .title[title=Hostile]");
  const found = await answer(page).evaluate((element) => ({
    tags: [...new Set([...element.querySelectorAll(".text *")].map(({ tagName }) => tagName))].sort().join(" "),
    links: [...element.querySelectorAll("a")].map(({ href, rel }) => `${href} ${rel}`),
  }));
  assert.equal(found.tags, "A BUTTON CODE DIV H3 P PRE SPAN STRONG TABLE TBODY TD TH THEAD TR");
  assert.deepEqual(found.links, ["https://example.org/ noopener noreferrer", "https://example.org/d.png noopener noreferrer"]);
  assert.equal(await page.locator("article").count(), 2);
  await answer(page).getByText("Copy").first().click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^<iframe/);
});

await holds("files are summarized as by the command, several at a time", () => browser.expecting(["400 (Bad Request)"], async () => {
  await page.keyboard.press("Alt+2");
  await give(page, "#choose", documents);
  const others = [["long.txt", REPORT.repeat(30)], ["page.html", `<head><title>x</title><style>p{}</style></head><p style="color: red">Fish &amp; chips &eacute; ${REPORT.replaceAll(". ", ".</p><p>")}</p><script>1</script>`], ["picture.png", "\0\0PNG"], ["empty.md", " \n"]];
  await give(page, "#choose", others.map(([name, text]) => ({ name, mimeType: "", buffer: Buffer.from(text) })));
  await page.click("#summarizeStart");
  let most = 0;
  await until("they are done", async () => {
    most = Math.max(most, await server.metric("requests_processing"));
    return page.isHidden("#summarizeStop");
  });
  assert.ok(most >= 3 && most <= 4, String(most));
  const rows = await page.locator("#summaries tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const states = rows.map(([, , state]) => state);
  assert.deepEqual(states, [...documents.map(() => "done"), "too long", "done", "failed", "failed"]);
  assert.match(rows[5][3], /\d+ tokens do not fit into the context of 1024/);
  const told = execFileSync(gatefold, ["summarize", ...documents], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const expected = new Map(told.trim().split("\n").map((line) => JSON.parse(line)).map(({ id, summary }) => [path.basename(id), summary]));
  for (const [name, , , summary] of rows.slice(0, 5)) assert.equal(summary, expected.get(name));
  const lines = (await download(page, "#summarizeSave")).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ id }) => id), rows.map(([id]) => id));
  assert.ok(lines[0].receipt.logits_hash && lines[0].summary_tokens > 5 && lines[5].error);
  await shoot(page, "summaries");
  await page.click("#summarizeClear");
}));

await holds("files are dropped", async () => {
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["Padstow will be bright on Thursday."], "dropped.md"));
    for (const name of ["dragover", "drop"]) document.querySelector("#drop").dispatchEvent(new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true }));
  });
  assert.match(await page.innerText("#summaries tbody"), /dropped.md\s+waiting/);
  await page.click("#summarizeClear");
});

await holds("summaries are stopped, and go on", async () => {
  await give(page, "#choose", documents);
  await page.click("#summarizeStart");
  await until("one is done", async () => (await page.locator("#summaries .done").count()) > 0);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#summarizeStop", { state: "hidden" });
  await server.isIdle();
  const n = await page.locator("#summaries .stopped").count();
  assert.ok(n >= 1 && n <= 4, String(n));
  await page.click("#summarizeStart");
  await until("all are done", async () => (await page.locator("#summaries .done").count()) === 5);
});

await holds("where there are no batches, the server says in its own words why", () => browser.expecting(["400 (Bad Request)", "404 (Not Found)"], async () => {
  await page.keyboard.press("Alt+3");
  await page.waitForSelector("#batchNote:not([hidden])");
  assert.match(await page.innerText("#batchNote"), /There is nothing at|--data-dir/);
}));
await page.context().close();

if (execFileSync(gatefold, ["serve", "--help"], { encoding: "utf8" }).includes("--data-dir")) await holds("batches are sent, watched and fetched", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gatefold-"));
  const keeping = await serve(gatefold, 0, "--data-dir", folder);
  const page = await browser.open(keeping.base);
  await page.keyboard.press("Alt+3");
  const lines = documents.map((name, at) => JSON.stringify({ custom_id: `r${at}`, method: "POST", url: "/v1/chat/completions", body: { max_tokens: 20, messages: [{ role: "user", content: fs.readFileSync(name, "utf8") }] } }));
  await page.getByText("There are no batches yet.").waitFor();
  await give(page, "#batchChoose", { name: "in.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(lines.join("\n")) });
  await until("it is completed", async () => /completed.*5 of 5/s.test(await page.innerText("#batches")));
  const answers = (await download(page, "#batches button")).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(answers.map(({ custom_id: id }) => id).sort(), ["r0", "r1", "r2", "r3", "r4"]);
  await give(page, "#batchChoose", { name: "bad.jsonl", mimeType: "application/jsonl", buffer: Buffer.from("{}\n") });
  await until("it has failed", async () => /failed.*custom_id is missing/s.test(await page.innerText("#batches")));
  await shoot(page, "batches");
  await page.context().close();
  await keeping.kill();
});

await holds("experts are shown with their loads: those of the server, and of the last answer", async () => {
  const page = await browser.open(server.base);
  const counts = async () => {
    const text = await (await fetch(`${server.base}/metrics`)).text();
    const loads = [...text.matchAll(/^gatefold_expert_tokens_total\{layer="(\d+)",expert="(\d+)"\} (\d+)$/gm)];
    return loads.map(([, layer, expert, n]) => ({ layer: Number(layer), expert: Number(expert), n: Number(n) }));
  };
  const tokens = (loads) => loads.filter(({ layer }) => layer === 0).reduce((sum, { n }) => sum + n, 0) / 2;
  const shown = () => page.locator("#loads td").evaluateAll((cells) => cells.map((cell) => cell.textContent));
  const shows = async (loads) => {
    const n = tokens(loads);
    await until("it has the figures", async () => (await page.innerText("#loadsTotal")).startsWith(`${n.toLocaleString("en")} tokens. `));
    const expected = loads.map((load) => Math.round((100 * load.n) / n));
    assert.deepEqual((await shown()).map((text) => Math.round(parseFloat(text))).map((share, at) => Math.abs(share - expected[at]) <= 1), expected.map(() => true));
  };
  await page.keyboard.press("Alt+4");
  const before = await counts();
  assert.equal(before.length, 40);
  await shows(before);
  assert.match(await page.innerText(".scale"), /0%\s+even: 2\/8 = 25%\s+\d+%/);
  for (const text of await shown()) {
    const [, share, words] = /^([\d.]+)%, (.*)$/.exec(text);
    assert.equal(words === "about even", share >= 20 && share <= 31, text);
  }
  const grounds = await page.locator("#loads td").evaluateAll((cells) => new Set(cells.map((cell) => getComputedStyle(cell).backgroundColor)).size);
  assert.ok(grounds > 5, `${grounds} colours`);
  await page.focus("#loadsOf");
  await page.keyboard.press("ArrowDown");
  await page.getByText("The chat has no answer yet").waitFor();
  await page.keyboard.press("Alt+1");
  await ask(page, "Who led the work?");
  const after = await counts();
  await page.keyboard.press("Alt+4");
  await shows(after.map(({ layer, expert, n }, at) => ({ layer, expert, n: n - before[at].n })));
  // Other models: 32 layers of 64 experts are scrolled to, and a dense one has nothing to show.
  const metrics = (n_layers, n_experts) => [...Array(n_layers * n_experts).keys()].map((at) => `gatefold_expert_tokens_total{layer="${Math.floor(at / n_experts)}",expert="${at % n_experts}"} ${at % n_experts}\n`).join("");
  let other = `gatefold_experts_per_token 4\n${metrics(32, 64)}`;
  await page.route("**/metrics", (route) => route.fulfill({ body: other }));
  await page.selectOption("#loadsOf", "");
  await until("it has them", async () => (await shown()).length === 32 * 64);
  await page.setViewportSize({ width: 320, height: 720 });
  assert.ok((await overhang(page)) <= 0);
  await shoot(page, "experts-32x64");
  other = `gatefold_experts_per_token 1\n${metrics(32, 1)}`;
  await page.getByText("This model is dense").waitFor();
  assert.ok(await page.isHidden("#loads"));
  await page.context().close();
});

await holds("colours are the system's, or those that were chosen", async () => {
  const page = await browser.open(server.base, { colorScheme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.click("#theme");
  assert.equal(await ground(), light);
  await page.reload();
  await page.waitForSelector("nav a[aria-current]");
  assert.equal(await ground(), light);
  await page.emulateMedia({ colorScheme: "light" });
  await page.click("#theme");
  assert.equal(await ground(), dark);
  await page.context().close();
});

await holds("all of it can be done and seen with the keyboard alone", async () => {
  const page = await browser.open(server.base);
  await page.keyboard.type("Who led the work?");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type(REPORT);
  await page.keyboard.press("Enter");
  await answered(page);
  assert.match(await lastText(page), /\w/);
  assert.match(await page.locator("article.user .text").innerText(), /work\?\nSilverby/);
  const stops = new Set();
  for (let at = 0; at < 40; at += 1) {
    await page.keyboard.press("Tab");
    const { name, isSeen } = await page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return { name: element.ariaLabel || element.textContent.trim() || element.tagName, isSeen: element === document.body || (style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2) };
    });
    assert.ok(isSeen, `the focus on ${name} is not seen`);
    stops.add(name.replace(/ [0-9a-f]{8}$/, ""));
  }
  for (const name of ["Chat", "Summarize", "Batches", "Experts", "Keys", "New chat", "Export all", "Import", "Edit", "Copy", "Again", "Receipt", "Settings", "Send"]) assert.ok(stops.has(name), `${name} in ${[...stops]}`);
  await page.focus("#question");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.type(" Eva?");
  await page.keyboard.press("Enter");
  await answered(page);
  assert.equal(await page.locator("article.user .place").innerText(), "2/2");
  await page.focus("#messages");
  await page.keyboard.press("?");
  assert.ok(await page.isVisible("#keys"));
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "question");
  await page.context().close();
});

for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 320], ["dark", 320]]) {
  await holds(`nothing is too wide or too pale, ${colorScheme}, ${width} wide`, () => browser.expecting(["400 (Bad Request)", "404 (Not Found)"], async () => {
    const page = await browser.open(server.base, { colorScheme, viewport: { width, height: 720 } });
    const look = async (name) => {
      assert.ok((await overhang(page)) <= 0, `${name} reaches ${await overhang(page)} pixels beyond`);
      assert.deepEqual(await paleTexts(page), [], name);
      await shoot(page, `${name}-${colorScheme}-${width}`);
    };
    await look("empty");
    await page.keyboard.press("Alt+s");
    await look("settings");
    await page.keyboard.press("Escape");
    await set(page, { max_tokens: 40 });
    await ask(page, SUMMARIZE);
    await page.keyboard.press("Alt+r");
    await answered(page);
    await look("chat");
    await answer(page).locator(".receipt").click();
    await look("receipt");
    await page.keyboard.press("Escape");
    if (width < 500) {
      await page.click("#showChats");
      await look("chats");
      await page.keyboard.press("Escape");
    }
    await page.keyboard.press("Alt+2");
    await give(page, "#choose", documents);
    await page.click("#summarizeStart");
    await until("they are done", () => page.isHidden("#summarizeStop"));
    await look("summarize");
    await page.keyboard.press("Alt+3");
    await page.waitForSelector("#batchNote:not([hidden]), #batches:not([hidden])");
    await look("list");
    await page.keyboard.press("Alt+4");
    await page.waitForSelector("#loads td");
    await look("experts");
    await page.keyboard.press("?");
    await look("keys");
    await page.context().close();
  }));
}

await holds("a server with keys asks for one, and keeps it as long as it is to", () => browser.expecting(["401 (Unauthorized)"], async () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "gatefold-")), "keys.txt");
  fs.writeFileSync(file, "sesame\n");
  const locked = await serve(gatefold, 0, "--api-key-file", file);
  const page = await browser.open(locked.base);
  await page.waitForSelector("#key[open]");
  await page.fill("#keyText", "wrong");
  await page.keyboard.press("Enter");
  await until("it is told", async () => /key is wrong/.test(await page.innerText("#keyWhy")));
  await page.fill("#keyText", "sesame");
  await page.keyboard.press("Enter");
  await until("the model is known", async () => /gatefold-demo/.test(await page.innerText("#model")));
  await ask(page, "Who?");
  await answer(page).locator(".receipt").click();
  assert.match(await page.innerText("#receiptCommand"), /Authorization: Bearer \$API_KEY/);
  assert.ok(!(await page.content()).includes("sesame"));
  assert.equal(await page.evaluate(() => localStorage.getItem("gatefold-key")), null);
  await page.context().close();
  await locked.kill();
}));

await server.kill();
await browser.close();
console.log(`all ${n} hold`);
