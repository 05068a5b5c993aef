import { findOnPath } from './find-on-path.ts'
import { installPythonPackages } from './python-venv.ts'
import type { Engine, FindEngine, Search } from './types.ts'

const version = '0.7.0b3'
const warning = 'a stand-in for trying things out, not for production'

/** SecantusDB's server in Rust, where the user has put it on PATH. */
export const findSecantusRust: FindEngine = async (search) => {
  const file = findOnPath('secantusd-rs', search.env)
  if (!file) throw new Error('no secantusd-rs on PATH')
  return secantus('secantusd-rs', `SecantusDB's secantusd-rs (${warning})`, [file], search)
}

/** SecantusDB's server in Python, installed into the user's cache where it isn't yet. */
export const findSecantusPython: FindEngine = async (search) => {
  const python = await installSecantus(search)
  // By module and not by the script in bin/, whose first line names the folder in which the package was installed.
  return secantus('secantusdb', `SecantusDB ${version} (${warning})`, [python, '-m', 'secantus'], search)
}

/** Installs SecantusDB into the user's cache and returns the Python that has it. @throws Error as `installPythonPackages` */
export function installSecantus({ env, log }: Pick<Search, 'env' | 'log'>): Promise<string> {
  const packages = { packages: [`SecantusDB==${version}`], modules: ['secantus'] }
  const names = { name: `SecantusDB ${version}`, folder: `secantusdb-${version}` }
  return installPythonPackages({ ...names, ...packages }, { env, log: (line) => log(`Database: ${line}`) })
}

function secantus(
  source: 'secantusd-rs' | 'secantusdb',
  label: string,
  [file = '', ...first]: string[],
  { options }: Search,
): Engine {
  const flags = [
    ...(options.syncOnCommit ? ['--sync-on-commit'] : []),
    ...(options.enableTestCommands ? ['--enable-test-commands'] : []),
    ...(options.oplogMaxEntries ? ['--oplog-max-entries', String(options.oplogMaxEntries)] : []),
  ]
  return {
    source,
    standIn: true,
    label,
    folder: source,
    file,
    args: ({ port, folder }) => [...first, '--port', String(port), '--storage-path', folder, ...flags],
    ready: /listening on 127\.0\.0\.1:\d+/,
  }
}
