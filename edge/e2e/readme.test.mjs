// The project's README: its example for frontends is run as it stands there, and gets what its comments say
// when its line for the shell publishes.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { io } from 'socket.io-client';
import { run, up } from './lib/program.mjs';
import { eventually } from './lib/time.mjs';
import { someone, tokenOf } from './lib/token.mjs';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const block = (language) => [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, text]) => text);

let server;
before(async () => { server = await up(); });
after(async () => { await server?.stop(); });

test("the README's example for frontends does what it says", async (t) => {
  const [example, ...more] = block('js');
  assert.deepEqual(more, [], 'one example');
  const said = [];
  const address = 'http://127.0.0.1:3000';
  assert.ok(example.includes(address));
  const program = new Function('io', 'token', 'console', `${example.replace(address, server.url)}; return socket;`);
  const socket = program(io, tokenOf(someone(), 'case:123'), { log: (value) => said.push(value) });
  t.after(() => socket.disconnect());
  await eventually(() => said.length === 1, () => `the ack; it said ${JSON.stringify(said)}`);
  assert.deepEqual(said[0], { status: 'subscribed', caseId: '123', offset: said[0].offset });

  const line = block('sh').join('').match(/^go run \.\/cmd\/lexiflow (publish .*)$/m);
  const [, kind, id, event, payload] = line[1].match(/^publish (\S+) (\S+) (\S+) '(.*)'$/);
  const p = await run(['publish', '--nats', server.natsUrl, kind, id, event, payload]);
  assert.equal(await p.end(), 0, p.log);
  await eventually(() => said.length === 2, 'the event');
  const { timestamp, ...rest } = said[1];
  assert.deepEqual(rest, { ...JSON.parse(payload), caseId: '123' });
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT/);
});
