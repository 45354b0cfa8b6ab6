// The program that all tests share: `lexiflow up` with every service, on ports of its own.

import type { TestProject } from 'vitest/node';
import { up } from '../../../e2e/lib/program.mjs';

declare module 'vitest' {
  export interface ProvidedContext {
    url: string;
    natsUrl: string;
  }
}

export default async function setup(project: TestProject) {
  const server = await up(['--services', 'all', '--idle-after', '2s', '--digest-window', '500ms', '--push-interval', '100ms', '--rate-limit', '10000']);
  project.provide('url', server.url);
  project.provide('natsUrl', server.natsUrl);
  return () => server.stop();
}
