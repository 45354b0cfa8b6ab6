import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Everything meets a real `lexiflow up` over real sockets; test/lib/server.ts starts it. What uses React runs
// with the oldest and the newest one that the package promises to work with.
const react = (name: string, folder: string) => ({
  extends: true as const,
  resolve: {
    alias: [{ find: /^(react|react-dom)(\/.*)?$/, replacement: `${here(folder)}/$1$2` }],
  },
  test: { name, include: ['test/react/*.test.tsx'], environment: 'happy-dom' },
});

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@lexiflow\/realtime\/react$/, replacement: here('src/react/index.ts') },
      { find: /^@lexiflow\/realtime$/, replacement: here('src/index.ts') },
    ],
  },
  test: {
    server: { deps: { external: [/\/e2e\/lib\//] } }, // it finds its files by its own address
    globalSetup: './test/lib/server.ts',
    testTimeout: 20_000,
    hookTimeout: 30_000,
    projects: [
      { extends: true, test: { name: 'core', include: ['test/core/*.test.ts'], environment: 'node' } },
      react('react 18.2', './test/react-18/node_modules'),
      react('react 19', './node_modules'),
    ],
  },
});
