import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const library = (folder: string, extension: string) => [
  { find: /^@lexiflow\/realtime\/react$/, replacement: here(`${folder}/react/index.${extension}`) },
  { find: /^@lexiflow\/realtime$/, replacement: here(`${folder}/index.${extension}`) },
];

const react = (folder: string) => ({ find: /^(react|react-dom)(\/.*)?$/, replacement: `${here(folder)}/$1$2` });

// Everything meets real servers over real sockets; test/lib/server.ts starts them. What uses React runs with
// the oldest and the newest one that the package promises to work with, the README's examples with what was
// built.
export default defineConfig({
  test: {
    globalSetup: './test/lib/server.ts',
    maxWorkers: 4, // they wait more than they work
    testTimeout: 20_000,
    hookTimeout: 30_000,
    projects: [
      project('core', 'test/core/*.test.ts', 'node', library('src', 'ts')),
      project('react 18.2', 'test/react/*.test.tsx', 'happy-dom', [...library('src', 'ts'), react('test/react-18/node_modules')]),
      project('react 19', 'test/react/*.test.tsx', 'happy-dom', [...library('src', 'ts'), react('node_modules')]),
      project('package', 'test/package/*.test.{ts,tsx}', 'happy-dom', [...library('dist', 'js'), react('node_modules')]),
    ],
  },
});

function project(name: string, include: string, environment: string, alias: { find: RegExp; replacement: string }[]) {
  return {
    extends: true as const,
    resolve: { alias },
    test: {
      name, include: [include], environment,
      server: { deps: { external: [/\/e2e\/lib\//] } }, // it finds its files by its own address
    },
  };
}
