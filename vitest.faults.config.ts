import { defineConfig } from 'vitest/config'
import { SOURCES } from './vitest.config.ts'

export default defineConfig({
  ...SOURCES,
  test: {
    include: ['packages/**/*.faults.test.ts', 'examples/**/*.faults.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    testTimeout: 1_800_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    fileParallelism: false,
    reporters: ['default', './scripts/fault-reporter.ts'],
  },
})
