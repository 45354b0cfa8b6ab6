// Builds the two programs once, runs every *.test.mjs against them, two files at a time, and takes
// the programs away again. `node --test some.test.mjs` alone works too: it builds for itself.
//
//   npm test                    everything
//   npm test -- rooms auth      the files whose names contain one of these words

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { build } from './lib/build.mjs';

const here = new URL('.', import.meta.url).pathname;
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
if (files.length === 0) {
  console.error(`no *.test.mjs matches ${wanted.join(' ')}`);
  process.exit(2);
}

const programs = await build();
const child = spawn(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  cwd: here,
  stdio: 'inherit',
  env: { ...process.env, LEXIFLOW_BIN: programs.lexiflow, CONFORMANCE_BIN: programs.conformance },
});
child.on('exit', (code, signal) => {
  programs.remove();
  process.exit(signal ? 1 : code);
});
