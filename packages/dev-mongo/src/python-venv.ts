import { execFile } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findOnPath } from './find-on-path.ts'
import { installOnce } from './install-once.ts'
import type { Search } from './types.ts'

const run = promisify(execFile)

const pythons = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python']

export interface PythonPackages {
  /** The name for people, with the version. */
  name: string
  /** The name of its folder in the cache, with the version. */
  folder: string
  /** Requirements for pip, with versions: `SecantusDB==0.7.0b3`. */
  packages: readonly string[]
  /** The modules that can be imported afterwards. */
  modules: readonly string[]
}

/**
 * Installs Python packages into `$XDG_CACHE_HOME/taskfleet` (else `~/.cache/taskfleet`), once for all processes, and
 * returns the Python that has them.
 *
 * @throws Error with the reason: no fitting Python, no venv module, the package index out of reach
 */
export async function installPythonPackages(
  { name, folder, packages, modules }: PythonPackages,
  { env, log }: Pick<Search, 'env' | 'log'>,
): Promise<string> {
  const place = join(cacheFolder(env), folder)
  await installOnce({
    folder: place,
    usable: (venv) => canImport(pythonOf(venv), modules, env),
    onWait: () => log(`another process is installing ${name}; waiting for it`),
    install: async (venv) => {
      const python = await findPython(name, env)
      log(`installing ${name} with ${python} into ${place} (once, about 20 s)`)
      await step('python -m venv', python, ['-m', 'venv', venv], env)
      const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--retries', '2']
      await step('pip install', pythonOf(venv), [...pip, ...packages], env)
    },
  })
  return pythonOf(place)
}

function cacheFolder(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'taskfleet')
}

function pythonOf(venv: string): string {
  return process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python')
}

/** Also false when the Python that made the folder was removed or has another version now. */
async function canImport(python: string, modules: readonly string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  const look =
    'import importlib.util, sys; sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))'
  return run(python, ['-c', look, ...modules], { env }).then(
    () => true,
    () => false,
  )
}

async function findPython(name: string, env: NodeJS.ProcessEnv): Promise<string> {
  const look = 'import sys; print(sys.implementation.name, *sys.version_info[:2])'
  const seen: string[] = []
  for (const candidate of pythons) {
    const file = findOnPath(candidate, env)
    if (!file) continue
    // A name on PATH may be a shim without a Python behind it.
    const found = await run(file, ['-c', look], { env, timeout: 10_000 }).catch(() => undefined)
    const [implementation, major, minor] = found?.stdout.trim().split(' ') ?? []
    if (implementation === 'cpython' && major === '3' && Number(minor) >= 10 && Number(minor) <= 13) return file
    if (implementation) seen.push(`${file} is ${implementation} ${major}.${minor}`)
  }
  const others = seen.length > 0 ? ` (${seen.join(', ')})` : ''
  throw new Error(`${name} needs CPython 3.10 to 3.13 on PATH, and there is none${others}`)
}

async function step(what: string, file: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run(file, args, { env, timeout: 5 * 60_000, maxBuffer: 16 * 1024 * 1024 })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    const said = `${stdout ?? ''}\n${stderr ?? ''}`.trim().split('\n').slice(-3).join(' ')
    throw new Error(`${what} failed: ${said || (error as Error).message}`)
  }
}
