import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DownloadInput, DownloadOptions, DownloadOutput } from './contract.ts'
import { createDownload } from './download.ts'
import { codeOf } from './failures.ts'
import { type FakeAttempt, type FakeTask, fakeAttempt } from './fake-context.ts'
import { type FileServer, type FileServerOptions, startFileServer } from './file-server/index.ts'
import type { HashThreads } from './hash-threads.ts'

/** A file server and a folder for one test file. */
export interface TestBed {
  server: FileServer
  root: string
  /** Starts one attempt; its end is in `ended`. */
  start(
    input: DownloadInput,
    options?: Partial<DownloadOptions>,
    task?: FakeTask,
  ): FakeAttempt & { ended: Promise<DownloadOutput> }
  run(input: DownloadInput, options?: Partial<DownloadOptions>, task?: FakeTask): Promise<DownloadOutput>
  /** The code that an attempt fails with, or `completed`. */
  code(input: DownloadInput, options?: Partial<DownloadOptions>, task?: FakeTask): Promise<string>
  files(): Promise<string[]>
  read(file: string): Promise<Buffer>
  close(): Promise<void>
}

export async function testBed(options: FileServerOptions = {}, threads?: HashThreads): Promise<TestBed> {
  const server = await startFileServer(options)
  const root = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-downloads-')))
  const start: TestBed['start'] = (input, changed = {}, task) => {
    const attempt = fakeAttempt(input, task)
    const ended = createDownload({ root, allowPrivate: true, stallMs: 5000, ...changed }, threads).run(attempt.context)
    ended.catch(() => undefined)
    return { ...attempt, ended }
  }
  const run: TestBed['run'] = (input, changed, task) => start(input, changed, task).ended
  return {
    ...{ server, root, start, run },
    code: (input, changed, task) =>
      run(input, changed, task).then(
        () => 'completed',
        (error: unknown) => codeOf(error) || String(error),
      ),
    files: async () => (await readdir(root)).sort(),
    read: (file) => readFile(join(root, file)),
    close: async () => {
      await server.stop()
      await rm(root, { recursive: true, force: true })
    },
  }
}
