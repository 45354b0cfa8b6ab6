// The README's examples, as files that can be checked and run.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../.examples/', import.meta.url));

// writeExamples writes each ```ts or ```tsx block of the README into a file named by its title.
export function writeExamples() {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [, language, title, body] of text.matchAll(/^```(tsx?)(?: title=(\w+))?\n(.*?)^```$/gms)) {
    if (!title) throw new Error(`an example without a title: ${body}`);
    writeFileSync(`${folder}${title}.${language}`, body);
  }
}
