/*
 * The files of `files.ts` as they are built. From the sources, each process of a test would read some 200 files first.
 */
const built = (file: string): URL => new URL(`../../dist/${file}`, import.meta.url)

export const FROM_SOURCES = false
export const RENEWAL_THREAD = built('renewal-thread.js')
export const ISOLATE_THREAD = built('isolate/thread-main.js')
export const ISOLATE_PROCESS = built('isolate/process-main.js')

// The processes of vitest take the sources of each package, and isolates get the flags of their process.
process.execArgv = process.execArgv.filter((flag, at, all) => !/taskfleet-source/.test(`${flag} ${all[at + 1] ?? ''}`))
