// What the checks of the page stand on: servers, a browser, and what must hold all the time.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const { chromium } = createRequire(path.resolve("target/page/package.json"))("playwright-core");

// `gatefold serve` with the demo model, once it is ready.
export async function serve(gatefold, port, ...args) {
  const child = spawn(gatefold, ["serve", "--port", String(port), ...args], { stdio: ["ignore", "ignore", "pipe"] });
  process.once("exit", () => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  while (!/^ready: .*$/m.test(said)) {
    assert.equal(child.exitCode, null, said);
    await pause(20);
  }
  const base = /^ready: .* at (http:\/\/[^/]+)\/v1$/m.exec(said)[1];
  const metric = async (name) => {
    const text = await (await fetch(`${base}/metrics`)).text();
    return Number(new RegExp(`^gatefold_${name} (.*)$`, "m").exec(text)[1]);
  };
  return {
    base,
    port: new URL(base).port,
    metric,
    async isIdle() {
      for (const name of ["requests_processing", "requests_deferred", "answers_open", "requests_open"]) {
        await until(`${name} is 0`, async () => (await metric(name)) === 0);
      }
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

// Waits until something holds.
export async function until(what, holds, most = 120_000) {
  const end = Date.now() + most;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `not within ${most} ms: ${what}`);
    await pause(10);
  }
}

// A browser, whose pages ask nobody but their server and have nothing to complain about.
export async function browse() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const complaints = [];
  let expected = [];
  return {
    close: () => browser.close(),
    // A page at a server, in a browser that has never seen it.
    async open(base, options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
      await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
      const page = await context.newPage();
      page.setDefaultTimeout(120_000);
      page.on("request", (request) => {
        const url = new URL(request.url());
        const isOwn = url.origin === base || ["data:", "blob:"].includes(url.protocol);
        if (!isOwn) complaints.push(`asked ${url}`);
      });
      page.on("pageerror", (error) => complaints.push(`threw ${error.stack}`));
      page.on("console", (message) => {
        const text = message.text();
        if (["debug", "info", "log"].includes(message.type())) return;
        if (!expected.some((part) => text.includes(part))) complaints.push(`${message.type()}: ${text}`);
      });
      await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
      });
      await page.goto(base);
      await page.waitForSelector("nav a[aria-current]");
      return page;
    },
    // Lets the browser itself report requests that fail, as it does for every status of 400 and more.
    async expecting(parts, op) {
      expected = parts;
      await op();
      await pause(100);
      expected = [];
    },
    isContent: () => assert.deepEqual(complaints, []),
  };
}

// Asks in the chat, and waits for the answer.
export async function ask(page, text) {
  await page.fill("#question", text);
  await page.keyboard.press("Enter");
  await answered(page);
}

export async function answered(page) {
  await page.waitForSelector("#send:not([hidden])");
  await page.evaluate(() => new Promise(requestAnimationFrame));
}

export const answer = (page) => page.locator("article.assistant").last();

export const lastText = (page) => answer(page).locator(".text").innerText();

// Settings of the chat, by their names; an empty text is none.
export async function set(page, settings) {
  await page.keyboard.press("Alt+s");
  for (const [name, value] of Object.entries(settings)) await page.fill(`#settings [name=${name}]`, String(value));
  await page.keyboard.press("Escape");
}

// Gives files to what asks for them when this is clicked.
export async function give(page, selector, files) {
  const chooser = page.waitForEvent("filechooser");
  await page.click(selector);
  await (await chooser).setFiles(files);
}

// What is downloaded when this is clicked.
export async function download(page, selector) {
  const coming = page.waitForEvent("download");
  await page.click(selector);
  const stream = await (await coming).createReadStream();
  let text = "";
  for await (const piece of stream.setEncoding("utf8")) text += piece;
  return text;
}

// Texts with too little contrast to what is behind them, by WCAG's formula; of disabled buttons none
// is asked.
export function paleTexts(page) {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = rgb(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return [255, 255, 255];
    };
    const top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
    const pale = [];
    const walker = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const isShown = walker.currentNode.data.trim() && element.checkVisibility() && !element.closest(".unseen, :disabled, option, script");
      if (!isShown) continue;
      const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < 4.5) pale.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return pale;
  });
}

// By how much anything reaches beyond the window's width.
export const overhang = (page) => page.evaluate(() => Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll("main, .page, #messages, header, footer, dialog[open]")].filter((element) => element.checkVisibility()).map((element) => element.getBoundingClientRect().left + element.scrollWidth)) - innerWidth);
