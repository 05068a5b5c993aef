import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defaultClientConditions, defaultServerConditions, defineConfig } from 'vite'
import { compression } from 'vite-plugin-compression2'

/** Workspace packages are taken from their sources, so that neither the build nor the tests need them built first. */
const source = 'taskfleet-source'

const gateway = process.env.TASKFLEET_GATEWAY ?? 'http://127.0.0.1:4100'

/** What pages are made of. Packages that only some of them use are left where they are used. */
const PAGE_PARTS =
  /monitor-ui\/src\/(?!main)|packages\/react\/|node_modules\/(react|react-dom|scheduler|use-sync-external-store|zustand|lucide-react|@tanstack\/(react-router|router-core|react-store|store|history))\//

interface Graph {
  getModuleInfo: (id: string) => { isEntry: boolean; importers: readonly string[] } | null
}

/** Whether the first script imports a module, directly or through others. What is loaded later does not count. */
const isFirst = (() => {
  const known = new Map<string, boolean>()
  const look = (id: string, graph: Graph): boolean => {
    const before = known.get(id)
    if (before !== undefined) return before
    // Circles end here.
    known.set(id, false)
    const info = graph.getModuleInfo(id)
    const first = info !== null && (info.isEntry || info.importers.some((importer) => look(importer, graph)))
    known.set(id, first)
    return first
  }
  return look
})()

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
    rolldownOptions: {
      // One file for all that the first page needs: many small ones compress worse.
      output: {
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [
            {
              test: PAGE_PARTS,
              name: (id, graph) => (isFirst(id, graph) ? 'first' : null),
            },
          ],
        },
      },
    },
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
