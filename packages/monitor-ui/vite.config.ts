import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defaultClientConditions, defaultServerConditions, defineConfig } from 'vite'
import { compression } from 'vite-plugin-compression2'

/** Workspace packages are taken from their sources, so that neither the build nor the tests need them built first. */
const source = 'taskfleet-source'

const gateway = process.env.TASKFLEET_GATEWAY ?? 'http://127.0.0.1:4100'

export default defineConfig({
  // Relative to the page's `<base>`, which the gateway writes: the same files serve below any path.
  base: './',
  plugins: [
    react(),
    tailwindcss(),
    // Beside each file, for a gateway that sends what a browser takes.
    compression({ algorithms: ['brotliCompress', 'gzip'], threshold: 0, skipIfLargerOrEqual: true }),
  ],
  resolve: { conditions: [source, ...defaultClientConditions] },
  ssr: { resolve: { conditions: [source, ...defaultServerConditions] } },
  build: {
    // Small assets stay files: a strict `img-src 'self'` has no room for `data:` addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    // The first script holds the frame and the board; the other pages are loaded once those are shown.
    chunkSizeWarningLimit: 640,
    // Tailwind's own optimiser would rewrite light-dark(); every browser that we build for knows it.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
  },
  server: {
    proxy: { '/socket.io': { target: gateway, ws: true }, '/api': { target: gateway } },
  },
})
