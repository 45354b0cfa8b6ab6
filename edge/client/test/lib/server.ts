// The programs that all tests share: `lexiflow up` with every service, and one without any, on ports of
// their own.

import type { TestProject } from 'vitest/node';
import { writeExamples } from './examples.mjs';
import { up } from '../../../e2e/lib/program.mjs';

declare module 'vitest' {
  export interface ProvidedContext {
    url: string;
    natsUrl: string;
    bareUrl: string;
    bareNatsUrl: string;
  }
}

export default async function setup(project: TestProject) {
  writeExamples();
  const quick = ['--rate-limit', '10000', '--drain-timeout', '200ms'];
  const [server, bare] = await Promise.all([
    up(['--services', 'all', '--idle-after', '2s', '--digest-window', '500ms', '--push-interval', '100ms', ...quick]), up(quick),
  ]);
  project.provide('url', server.url);
  project.provide('natsUrl', server.natsUrl);
  project.provide('bareUrl', bare.url);
  project.provide('bareNatsUrl', bare.natsUrl);
  return () => Promise.all([server.stop(), bare.stop()]);
}
