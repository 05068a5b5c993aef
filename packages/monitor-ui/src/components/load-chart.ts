import type { ComponentType } from 'react'

/**
 * Loads a chart when it is first needed. uPlot passes `navigator.language` to `Intl` when it loads, and some systems have a
 * language that `Intl` refuses (`en-US@posix`). Then the page continues in English. Without a chart the figures stay.
 */
export async function loadChart<Props>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): Promise<{ default: ComponentType<Props> }> {
  try {
    Intl.getCanonicalLocales(navigator.language)
  } catch {
    Object.defineProperty(navigator, 'language', { value: 'en', configurable: true })
  }
  try {
    return await load()
  } catch {
    return { default: () => null }
  }
}
