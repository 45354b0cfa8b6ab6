// Where the programs under test come from: LEXIFLOW_BIN and CONFORMANCE_BIN when given, else
// `go build` into a temporary folder that goes away with this process.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

export async function build() {
  const folder = mkdtempSync(join(tmpdir(), 'lexiflow-e2e-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on('exit', remove);
  const compile = async (given, name, source) => {
    if (given) return given;
    await run('go', ['build', '-o', join(folder, name), source], { cwd: repository });
    return join(folder, name);
  };
  const lexiflow = await compile(process.env.LEXIFLOW_BIN, 'lexiflow', './cmd/lexiflow');
  const conformance = await compile(process.env.CONFORMANCE_BIN, 'conformance', './edge/conformance');
  return { lexiflow, conformance, remove };
}

let built;

// programs builds on first use, once per test file.
export const programs = () => (built ??= build());
