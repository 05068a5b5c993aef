import { installPythonPackages } from './python-venv.ts'
import type { Search } from './types.ts'

export const secantusVersion = '0.7.0b3'

/**
 * Installs SecantusDB into the user's cache and returns the Python that has it.
 *
 * @throws Error with the reason: no fitting Python, no venv module, PyPI out of reach
 */
export function installSecantus({ env, log }: Pick<Search, 'env' | 'log'>): Promise<string> {
  const secantus = {
    name: `SecantusDB ${secantusVersion}`,
    folder: `secantusdb-${secantusVersion}`,
    packages: [`SecantusDB==${secantusVersion}`],
    modules: ['secantus'],
  }
  return installPythonPackages(secantus, { env, log: (line) => log(`Database: ${line}`) })
}
