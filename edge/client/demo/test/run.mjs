// Runs every *.test.mjs in a real Chromium against the real program. Nothing is skipped: without a browser,
// without a build of the demo, every test fails and says what is missing.
//
//   npm test                 everything
//   npm test -- live         the files whose names contain one of these words

import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from '../../../e2e/lib/build.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
if (files.length === 0) {
  console.error(`no *.test.mjs matches ${wanted.join(' ')}`);
  process.exit(2);
}

if (wanted.length === 0) rmSync(new URL('../artefacts/', import.meta.url), { recursive: true, force: true });
const programs = await build();
const env = { ...process.env, LEXIFLOW_BIN: programs.lexiflow, CONFORMANCE_BIN: programs.conformance };
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...files], { cwd: here, stdio: 'inherit', env });
programs.remove();
process.exit(status ?? 1);
