// Every page in light and dark, on a phone and on a desk: nothing that keeps people out, and a picture to
// look at in ../artefacts.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import { Client } from '../../../e2e/lib/client.mjs';
import { bell, live, look, open } from './lib/browser.mjs';
import { alert, fill, notice, start } from './lib/demo.mjs';

const artefacts = fileURLToPath(new URL('../artefacts/', import.meta.url));
mkdirSync(artefacts, { recursive: true });

const themes = ['light', 'dark'];
const sizes = [{ width: 390, height: 844 }, { width: 1440, height: 900 }];
const wall = { width: 1920, height: 1080 };

// easy fails with what axe-core finds serious, and with a page that is wider than its window.
async function easy(page, name) {
  await page.screenshot({ path: `${artefacts}${name}.png` });
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map(({ html, failureSummary }) => `${html.slice(0, 140)} ${failureSummary}`).join(' | ')}`);
  assert.deepEqual(found, [], name);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name} is ${over} px wider than its window`);
}

// talk lets Ann and Ben have said something.
async function talk(t, url) {
  const people = (await (await fetch(`${url}/demo.json`)).json()).people;
  const [ann, ben] = await Promise.all(['ann', 'ben'].map((user) => {
    const client = new Client(url, '/messaging', { user, token: people.find(({ id }) => id === user).token });
    t.after(() => client.close());
    return client.connected();
  }));
  const { conversationId } = await ann.ask('conversation:create', { title: 'Harlow: witness list', memberIds: ['ben', 'cleo'] });
  await ben.until('conversation:updated');
  await ann.ask('message:send', { conversationId, content: 'Did the expert send her report?' });
  await ben.ask('message:send', { conversationId, content: 'This morning. Two of the figures contradict Exhibit C, so I asked her to check the invoices for March again before we file anything.' });
  const last = await ann.ask('message:send', { conversationId, content: 'Good catch. Let us talk at noon.' });
  await ben.ask('message:read', { conversationId, messageId: last.messageId });
  await ann.ask('conversation:create', { title: 'Calder Mills', memberIds: ['ben'] });
}

test('every page is for everybody', async (t) => {
  const server = await start(t);
  const browser = await open(t);
  const window = (t2, options) => look(t2, browser, server.url, options);

  await t.test('with nothing in it', async (t) => {
    for (const theme of themes) {
      const page = await live(await window(t, { user: 'cleo', theme, ...sizes[1] }));
      await page.getByText('Nothing has happened in this case yet').waitFor();
      await easy(page, `empty-case-1440-${theme}`);
      await page.getByRole('link', { name: 'Messages' }).click();
      await page.getByText('No conversations yet.').waitFor();
      await easy(page, `empty-messages-1440-${theme}`);
      await page.getByRole('link', { name: 'Dashboard' }).click();
      await page.getByText('All is quiet').waitFor();
      await easy(page, `empty-dashboard-1440-${theme}`);
    }
  });

  await t.test('in the colours that one chooses, also after a reload', async (t) => {
    const page = await live(await window(t, { theme: 'light' }));
    const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const paper = await colour();
    await page.getByRole('button', { name: 'Colours: as the system' }).click();
    assert.equal(await colour(), paper);
    await page.getByRole('button', { name: 'Colours: light' }).click();
    const night = await colour();
    assert.notEqual(night, paper);
    await page.reload();
    await page.getByRole('button', { name: 'Colours: dark' }).waitFor();
    assert.equal(await colour(), night);
  });

  await fill(server.bus);
  await talk(t, server.url);
  for (const title of ['Your signature is needed', 'A comment on Exhibit C', 'Please review the reply brief']) await notice(server.bus, 'ann', title);
  const ben = await live(await window(t, { user: 'ben' }));
  await ben.getByRole('button', { name: /your status$/ }).click();
  await ben.getByLabel('What you are doing').fill('In court until noon');
  await ben.getByRole('button', { name: 'Say' }).click();

  for (const theme of themes) {
    for (const size of theme === 'light' ? [...sizes, wall] : sizes) {
      const name = (page) => `${page}-${size.width}-${theme}`;
      await t.test(`${size.width} px, ${theme}`, async (t) => {
        const page = await live(await window(t, { theme, ...size }));
        await page.getByText('Motion to dismiss.pdf').waitFor();
        await page.getByText('In court until noon').waitFor();
        await easy(page, name('case'));
        await bell(page, 3).click();
        await page.getByText('Your signature is needed').waitFor();
        await easy(page, name('notifications'));
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: /your status$/ }).click();
        await easy(page, name('status'));
        await page.keyboard.press('Escape');
        await page.getByRole('link', { name: 'Messages' }).click();
        await page.getByRole('button', { name: /^Harlow: witness list/ }).click();
        await page.getByText('Let us talk at noon.').last().waitFor();
        await easy(page, name('messages'));
        await page.getByRole('link', { name: 'Dashboard' }).click();
        await page.getByRole('img', { name: /^Activities by minute: [1-9]/ }).waitFor();
        await alert(server.bus);
        await page.getByRole('region', { name: 'Alerts' }).getByText('E-filing is slow').first().waitFor();
        await easy(page, name('dashboard'));
      });
    }
  }
});
