// A real Chromium and its windows. Each window is a profile of its own, and fails its test if anything was
// reported as an error on its console.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-first-run', '--disable-quic',
];

export const PATIENCE = 10_000; // ms for something that must show

// open starts a browser that goes away with the test; its profile is a new folder.
export async function open(t) {
  assert.ok(existsSync(executablePath), `there is no browser at ${executablePath}: "make browser" installs it, or say where it is with CHROMIUM`);
  const browser = await chromium.launch({ executablePath, args });
  t.after(() => browser.close());
  return browser;
}

// look opens a window of one of the demo's people. expected are reports that this test is about.
export async function look(t, browser, url, { user = 'ann', path = '/', theme = 'light', width = 1280, height = 860, expected } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', locale: 'en-GB' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const errors = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected?.test(message.text())) errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  t.after(async () => {
    await context.close();
    assert.deepEqual(errors, [], `console of ${user} at ${path}`);
  });
  page.wires = []; // its WebSockets, each with what was sent on it
  page.on('websocket', (wire) => {
    const sent = [];
    page.wires.push(sent);
    wire.on('framesent', ({ payload }) => sent.push(String(payload)));
  });
  await page.goto(`${url}${path}?user=${user}`);
  return page;
}

// live waits until the page says that it is connected.
export async function live(page) {
  await page.locator('.connection', { hasText: 'Live' }).waitFor();
  return page;
}

// bell is the button that says how many notifications are unread.
export const bell = (page, unread) => page.getByRole('button', { name: `Notifications, ${unread} unread`, exact: true });
