// Every process on its own, two edges behind a balancer, and edges that die while people look.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { edge, nats, run, up } from '../../../e2e/lib/program.mjs';
import { Balancer } from './lib/balancer.mjs';
import { bell, live, look, open } from './lib/browser.mjs';
import { bus, notice, upload } from './lib/demo.mjs';

const project = fileURLToPath(new URL('..', import.meta.url));

// development is the demo as `npm run dev` has it: with StrictMode's second mount of everything.
function development(t) {
  const folder = mkdtempSync(join(tmpdir(), 'lexiflow-demo-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  execFileSync(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--mode', 'development', '--minify', 'false', '--logLevel', 'warn', '--outDir', folder], {
    cwd: project, env: { ...process.env, NODE_ENV: 'development' },
  });
  const code = readdirSync(join(folder, 'assets')).filter((name) => name.endsWith('.js')).map((name) => readFileSync(join(folder, 'assets', name), 'utf8'));
  assert.ok(code.some((text) => text.includes('doubleInvokeEffects')), 'a build of React that mounts twice');
  return folder;
}

// Nobody can keep a browser from reporting that it cannot reach a server which is dead.
const unreachable = /WebSocket connection to .* failed|net::ERR_|Failed to load resource: the server responded with a status of 502/;

test('edges die, and nobody misses anything', async (t) => {
  const folder = development(t);
  const server = await nats();
  t.after(() => server.kill());
  const services = await Promise.all(['presence', 'notifyd', 'msgd', 'dashboardd'].map((name) => run([name, '--nats', server.natsUrl])));
  for (const service of services) t.after(() => service.kill());
  await Promise.all(services.map((service) => service.says(/the service runs/)));
  const quick = ['--drain-timeout', '200ms'];
  const first = await edge(server.natsUrl, quick);
  const second = await edge(server.natsUrl, quick);
  const home = await up(quick); // gives the demo's people their tokens, and nothing else
  const log = await bus(t, server.natsUrl);
  t.after(() => Promise.all([first.kill(), second.kill(), home.kill()]));

  const balancer = await Balancer.start(t, { folder, home: home.url });
  balancer.to(first.url);
  const browser = await open(t);
  const page = await live(await look(t, browser, balancer.url, { expected: unreachable }));
  const other = await live(await look(t, browser, balancer.url, { user: 'ben', expected: unreachable }));
  const documents = page.getByRole('list', { name: /^Documents/ }).locator('.title');
  const status = (window) => window.getByRole('status').filter({ hasText: /Live|Reconnecting|Recovered|Connecting|Back/ });

  const expected = [];
  const publish = async (count) => {
    for (let i = 0; i < count; i++) {
      const name = `Exhibit ${expected.length + 1}.pdf`;
      expected.push(name);
      await upload(log, name);
    }
  };
  const all = page.getByRole('button', { name: /^Show all \d+ in documents/ });
  const complete = async () => {
    if (expected.length > 8 && !(await page.getByRole('button', { name: 'Show fewer' }).isVisible())) await all.click();
    await page.waitForFunction((n) => document.querySelectorAll('#documents')[0].closest('section').querySelectorAll('li').length >= n, expected.length);
    assert.deepEqual(await documents.allTextContents(), expected.toReversed());
  };

  await t.test('StrictMode mounts twice and subscribes once', async () => {
    await publish(3);
    await complete();
    assert.equal(page.wires.length, 1, 'connections');
    assert.equal(page.wires[0].filter((frame) => frame.includes('"subscribe:case"')).length, 1, page.wires[0].join('\n'));
    assert.equal(page.wires[0].filter((frame) => frame.includes('"unsubscribe:case"')).length, 0, page.wires[0].join('\n'));
  });

  await t.test('an edge is killed, and another goes on', async () => {
    await first.kill();
    await status(page).getByText(/^Reconnecting/).waitFor();
    await publish(20);
    await notice(log, 'ann', 'While you were away');
    await status(page).getByText(/attempt [2-9]/).waitFor(); // so nobody was there in between
    balancer.to(second.url);
    await status(page).getByText(/^Recovered, \d+ missed/).waitFor();
    await complete();
    await bell(page, 1).waitFor();
    await live(page);
  });

  await t.test('the only edge is killed, and comes back at its address', async (t) => {
    await second.kill();
    await status(page).getByText(/^Reconnecting/).waitFor();
    await publish(10);
    const again = await edge(server.natsUrl, ['--listen', new URL(second.url).host, ...quick]);
    t.after(() => again.kill());
    await status(page).getByText(/^Recovered, 1\d missed/).waitFor();
    await complete();
    await page.locator('[data-person="ben"][data-status="online"]').waitFor();
    await publish(1);
    await complete();
    await other.getByText(expected.at(-1), { exact: true }).waitFor();
  });
});
