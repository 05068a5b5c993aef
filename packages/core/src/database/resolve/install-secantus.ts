import { execFile } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { asError } from '../../errors.ts'
import { findOnPath } from './find-on-path.ts'
import { installOnce } from './install-once.ts'
import type { Search } from './types.ts'

const run = promisify(execFile)

export const secantusVersion = '0.7.0b3'

const pythons = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python']

/**
 * Installs SecantusDB into `$XDG_CACHE_HOME/taskfleet` (else `~/.cache/taskfleet`), once for all processes, and returns
 * the Python that has it.
 *
 * @throws Error with the reason: no fitting Python, no venv module, PyPI out of reach
 */
export async function installSecantus({ env, log }: Pick<Search, 'env' | 'log'>): Promise<string> {
  const folder = join(cacheFolder(env), `secantusdb-${secantusVersion}`)
  await installOnce({
    folder,
    usable: async (venv) => canImport(pythonOf(venv), env),
    onWait: () => log(`Database: another process is installing SecantusDB ${secantusVersion}; waiting for it`),
    install: async (venv) => {
      const python = await findPython(env)
      log(`Database: installing SecantusDB ${secantusVersion} with ${python} into ${folder} (once, about 20 s)`)
      await step('python -m venv', python, ['-m', 'venv', venv], env)
      const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--retries', '2']
      await step('pip install', pythonOf(venv), [...pip, `SecantusDB==${secantusVersion}`], env)
    },
  })
  return pythonOf(folder)
}

function cacheFolder(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'taskfleet')
}

function pythonOf(venv: string): string {
  return process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python')
}

/** False also where the Python that made the folder has gone or is now of another version. */
async function canImport(python: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const look = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("secantus") is None)'
  return run(python, ['-c', look], { env }).then(
    () => true,
    () => false,
  )
}

async function findPython(env: NodeJS.ProcessEnv): Promise<string> {
  const look = 'import sys; print(sys.implementation.name, *sys.version_info[:2])'
  const seen: string[] = []
  for (const name of pythons) {
    const file = findOnPath(name, env)
    if (!file) continue
    // A name on PATH may be a shim without a Python behind it.
    const found = await run(file, ['-c', look], { env, timeout: 10_000 }).catch(() => undefined)
    const [implementation, major, minor] = found?.stdout.trim().split(' ') ?? []
    if (implementation === 'cpython' && major === '3' && Number(minor) >= 10 && Number(minor) <= 13) return file
    if (implementation) seen.push(`${file} is ${implementation} ${major}.${minor}`)
  }
  const others = seen.length > 0 ? ` (${seen.join(', ')})` : ''
  throw new Error(`SecantusDB needs CPython 3.10 to 3.13 on PATH, and there is none${others}`)
}

async function step(what: string, file: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run(file, args, { env, timeout: 5 * 60_000, maxBuffer: 16 * 1024 * 1024 })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    const said = `${stdout ?? ''}\n${stderr ?? ''}`.trim().split('\n').slice(-3).join(' ')
    throw new Error(`${what} failed: ${said || asError(error).message}`)
  }
}
