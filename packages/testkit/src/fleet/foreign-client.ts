import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { installPythonPackages } from '@taskfleet/dev-mongo'
import type { TaskRow, WireError } from '@taskfleet/protocol'
import { eventually } from './use-fleet.ts'

/** The output of the script: see its documentation. */
export interface Said {
  why: string
  epoch: string
  seq: number
  rows: TaskRow[]
  checksum: string
  error?: WireError
  gateway?: { ok: boolean; seq?: number; count?: number; checksum?: string }
}

const socketio = {
  name: 'python-socketio 5.18.1',
  folder: 'python-socketio-5.18.1',
  packages: ['python-socketio[client]==5.18.1', 'python-engineio==4.15.1', 'websocket-client==1.9.2'],
  modules: ['socketio', 'websocket'],
}

/** A Python with socket.io, or why there is none. */
export async function foreignPython(): Promise<{ python: string } | { missing: string }> {
  try {
    return { python: await installPythonPackages(socketio, { env: process.env, log: console.info }) }
  } catch (error) {
    return { missing: (error as Error).message }
  }
}

/** A client in Python that follows one query. */
export class ForeignClient {
  /** Everything that it has printed. */
  readonly said: Said[] = []
  readonly #process: ChildProcess
  #complaints = ''

  constructor(python: string, url: string, query: object) {
    const script = fileURLToPath(new URL('./foreign-client.py', import.meta.url))
    this.#process = spawn(python, [script, url, JSON.stringify(query)], { stdio: ['pipe', 'pipe', 'pipe'] })
    createInterface({ input: this.#process.stdout! }).on('line', (line) => this.said.push(JSON.parse(line) as Said))
    this.#process.stderr!.on('data', (text) => (this.#complaints += String(text)))
  }

  /** Its latest rows. */
  get now(): Said | undefined {
    return this.said.findLast(({ rows }) => rows !== undefined)
  }

  /** Resolves with the first matching output from `after` on. @throws with Python's error */
  heard(wanted: (said: Said) => boolean, after = 0): Promise<Said> {
    return eventually(() => {
      if (this.#complaints !== '') throw new Error(this.#complaints)
      return this.said.slice(after).find(wanted)
    })
  }

  /** Lets it compare its checksum with the gateway's. */
  async compare(): Promise<Said> {
    const after = this.said.length
    this.#process.stdin!.write('checksum\n')
    return this.heard(({ why }) => why === 'checksum', after)
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()))
    this.#process.stdin!.end()
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5_000)
    await gone
    clearTimeout(timer)
  }
}
