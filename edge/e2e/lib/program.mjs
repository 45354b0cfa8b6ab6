// Real processes of the program under test, on ports of their own.

import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programs } from './build.mjs';
import { eventually, Hopeless, within } from './time.mjs';
import { SECRET } from './token.mjs';

const START = 15_000; // ms until a process must say where it listens
const STOP = 10_000; // ms that a drain may take

// Process is one running program. `log` is everything that it wrote.
export class Process {
  constructor(path, args, env = {}) {
    this.args = args;
    this.log = '';
    this.child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], env: clean(env) });
    this.pid = this.child.pid;
    this.exited = once(this.child, 'close').then(([code, signal]) => (this.result = { code, signal }));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => (this.log += text));
    }
  }

  // says waits for a line and returns its match.
  says(pattern, what) {
    return eventually(() => {
      if (this.result) throw new Hopeless(`${this.args[0]} ended (${JSON.stringify(this.result)}):\n${this.log}`);
      return this.log.match(pattern);
    }, () => `${this.args[0]} says ${what ?? pattern}; it said:\n${this.log}`, START);
  }

  // end lets it exit by itself and returns its exit code.
  async end(ms = STOP) {
    try {
      await within(this.exited, () => `${this.args.join(' ')} ends; it said:\n${this.log}`, ms);
    } finally {
      if (!this.result) this.child.kill('SIGKILL'); // a process left behind would keep the test file alive
    }
    return this.result.code;
  }

  // stop asks it to drain, and checks that it left cleanly.
  async stop() {
    if (!this.result) this.child.kill('SIGTERM');
    assert.equal(await this.end(), 0, `exit code of ${this.args[0]}; it said:\n${this.log}`);
    assert.doesNotMatch(this.log, /panic:|DATA RACE|goroutine \d+ \[/);
  }

  // kill gives it no chance.
  async kill() {
    if (!this.result) this.child.kill('SIGKILL');
    await this.exited;
  }
}

// clean is an environment without anything that configures the program under test.
function clean(extra) {
  const kept = ['PATH', 'HOME', 'TMPDIR'].filter((name) => process.env[name] !== undefined);
  return { ...Object.fromEntries(kept.map((name) => [name, process.env[name]])), ...extra };
}

const httpAddress = /http:\/\/((?:127\.0\.0\.1|localhost):\d+)/;
const natsAddress = /nats:\/\/((?:127\.0\.0\.1|localhost):\d+)/;
const anyPort = '127.0.0.1:0';

export function dataFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'lexiflow-data-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// run starts any command; the caller waits for it.
export async function run(args, env) {
  return new Process((await programs()).lexiflow, args, env);
}

// up starts everything in one process, but for the domain services where flags do not ask for them:
// tests of the gateway answer commands themselves.
export async function up(flags = [], env = { JWT_SECRET: SECRET }) {
  const services = flags.includes('--services') ? [] : ['--services', 'none'];
  const p = await run(['up', '--listen', anyPort, '--nats-listen', anyPort, '--data-dir', dataFolder(), ...services, ...flags], env);
  return served(p, { withNats: true });
}

// nats starts the embedded server alone. port and folder let it come back as what it was.
export async function nats({ port = 0, folder = dataFolder() } = {}) {
  const p = await run(['nats', '--nats-listen', `127.0.0.1:${port}`, '--data-dir', folder]);
  p.folder = folder;
  p.natsUrl = `nats://${(await p.says(natsAddress))[1]}`;
  p.port = Number(new URL(p.natsUrl).port);
  return p;
}

// edge starts one gateway on a bus.
export async function edge(natsUrl, flags = [], env = { JWT_SECRET: SECRET }) {
  const p = await run(['edge', '--listen', anyPort, '--nats', natsUrl, ...flags], env);
  return served(p, {});
}

async function served(p, { withNats }) {
  try {
    p.url = `http://${(await p.says(httpAddress))[1]}`;
    if (withNats) p.natsUrl = `nats://${(await p.says(natsAddress))[1]}`;
    await eventually(async () => (await fetch(`${p.url}/readyz`)).status === 200, 'ready', START);
    return p;
  } catch (error) {
    await p.kill();
    throw error;
  }
}
