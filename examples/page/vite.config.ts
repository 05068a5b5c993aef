import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Only within this repository: the packages are taken from their sources.
  resolve: { conditions: ['taskfleet-source', ...defaultClientConditions] },
  server: {
    proxy: { '/socket.io': { target: process.env.TASKFLEET_GATEWAY ?? 'http://127.0.0.1:4100', ws: true } },
  },
})
