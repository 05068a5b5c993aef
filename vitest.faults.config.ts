import { mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  {
    test: {
      include: ['packages/**/*.faults.test.ts', 'examples/**/*.faults.test.ts'],
      exclude: ['**/node_modules/**', '**/dist/**'],
      testTimeout: 1_800_000,
      fileParallelism: false,
      reporters: ['./scripts/fault-reporter.ts'],
    },
  },
)
