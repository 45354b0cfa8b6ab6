// Builds the two programs once, runs every *.test.mjs against them, two files at a time, and takes
// the programs away again. The conformance tests, which measure time, come first and alone.
// `node --test some.test.mjs` works too: it builds for itself.
//
//   npm test                    everything
//   npm test -- rooms auth      the files whose names contain one of these words

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from './lib/build.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
if (files.length === 0) {
  console.error(`no *.test.mjs matches ${wanted.join(' ')}`);
  process.exit(2);
}

const programs = await build();
const env = { ...process.env, LEXIFLOW_BIN: programs.lexiflow, CONFORMANCE_BIN: programs.conformance };

function run(some) {
  if (some.length === 0) return 0;
  const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...some], { cwd: here, stdio: 'inherit', env });
  return status ?? 1;
}

const alone = files.filter((name) => name.startsWith('conformance'));
const codes = [run(alone), run(files.filter((name) => !alone.includes(name)))];
programs.remove();
process.exit(Math.max(...codes));
