import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The build goes into dist/app, which the Go package beside this file embeds.
export default defineConfig({
  plugins: [react()],
  resolve: { dedupe: ['react', 'react-dom'] }, // the package is a link, with modules of its own beside it
  build: {
    outDir: 'dist/app',
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy allows no data: addresses
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900, // kB, most of it charts
  },
  server: {
    // `npm run dev` beside `lexiflow up`.
    proxy: {
      '/socket.io': { target: 'http://127.0.0.1:3000', ws: true },
      '/demo.json': 'http://127.0.0.1:3000',
      '/demo/': 'http://127.0.0.1:3000',
    },
  },
});
