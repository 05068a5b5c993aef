#!/usr/bin/env node
import { Command, InvalidArgumentError } from 'commander'
import { FleetProcesses } from './start/processes.ts'
import { type StartOptions, start } from './start/start.ts'

const count = (least: number, most: number) => (text: string) => {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new InvalidArgumentError(`a whole number from ${least} to ${most} is wanted`)
}

const fraction = (text: string): number => {
  const value = Number(text)
  if (value > 0 && value <= 1) return value
  throw new InvalidArgumentError('a number above 0, up to 1, is wanted')
}

const options = new Command('start')
  .description('The main job: large file downloads across several hosts, watched live')
  .option('--once', 'end when the downloads have ended, with a table and an exit code', false)
  .option('--shared', 'one folder for all hosts, as on a disk that they share, instead of one for each', false)
  .option('--no-more', 'add no downloads when the planned ones have ended')
  .option('--kill', 'kill one host with SIGKILL while it downloads', false)
  .option('--hosts <n>', 'how many worker processes stand for hosts', count(1, 20), 3)
  .option('--slots <n>', 'how many downloads each host runs at once', count(1, 50), 2)
  .option('--port <port>', "the monitor's port, 0 for a free one", count(0, 65_535), 4100)
  .option('--url <url...>', 'download these as well', [])
  .option('--scale <factor>', 'make the files smaller, for a quick run', fraction, 1)
  .option('--folder <folder>', 'where the database and the downloads are kept', '.taskfleet')
  .option('--clean', 'remove what else is in its folder for downloads', false)
  .parse()
  .opts<StartOptions>()

const stopping = new AbortController()
const processes = new FleetProcesses()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (stopping.signal.aborted) {
      void processes.kill().finally(() => process.exit(130))
      return
    }
    process.stdout.write('\nStopping in order; once more to stop at once.\n')
    stopping.abort()
  })
}

try {
  process.exitCode = await start(options, stopping.signal, processes)
} catch (error) {
  const { message, code } = error as { message?: string; code?: string }
  process.stderr.write(`start: ${message ?? String(error)}${code === undefined ? '' : ` (${code})`}\n`)
  process.exitCode = 1
}
