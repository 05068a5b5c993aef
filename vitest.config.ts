import { defineConfig, type UserWorkspaceConfig } from 'vitest/config'

const conditions = ['taskfleet-source', 'module', 'node', 'development']
export const SOURCES = { resolve: { conditions }, ssr: { resolve: { conditions } } }

/** Tests that have a page. Loading the monitor takes longer than most of them. */
const PAGES = ['packages/{monitor-ui,react}/**/*.test.{ts,tsx}']
/** Tests that replace modules, measure their process or count its timers. Each of their files has a process of its own. */
const ALONE = [
  'packages/testkit/**/*.test.ts',
  'packages/downloads/**/*.test.ts',
  'packages/worker/src/isolate/*.test.ts',
  'packages/*/src/services.test.ts',
  'packages/gateway/src/large-snapshots.test.ts',
  '{examples,scripts}/**/*.test.ts',
]
const exclude = ['**/node_modules/**', '**/dist/**', '**/*.faults.test.ts']
const project = (test: UserWorkspaceConfig['test']): UserWorkspaceConfig => ({
  ...SOURCES,
  // A busy machine with a slow database takes longer than the second that a poll has by default.
  test: { testTimeout: 120_000, hookTimeout: 120_000, expect: { poll: { timeout: 20_000 } }, ...test },
})

export default defineConfig({
  test: {
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    reporters: ['default', './scripts/count-reporter.ts'],
    // More than two cores, because most tests wait for most of their time.
    maxWorkers: 3,
    projects: [
      // Loading the sources takes longer than most test files.
      project({
        name: 'shared',
        isolate: false,
        include: ['packages/**/*.test.ts'],
        exclude: [...exclude, ...ALONE, ...PAGES],
      }),
      project({ name: 'pages', isolate: false, include: PAGES, exclude }),
      project({ name: 'alone', include: ALONE, exclude }),
    ],
  },
})
