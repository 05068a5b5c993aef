import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** Something that keeps people from using a page. */
export interface Violation {
  id: string
  impact: axe.ImpactValue | undefined
  nodes: { target: string; summary: string }[]
}

/**
 * What axe finds on a page. `@axe-core/playwright` takes four times as long, since it collects the results in another page for the sake of
 * frames, which the monitor has none of.
 *
 * @throws if axe could not read the page's colours, which would be no violation either
 */
export async function violationsOn(page: Page, rules?: readonly string[]): Promise<Violation[]> {
  await page.evaluate(axe.source)
  const { found, passed } = await page.evaluate(async (only) => {
    const { axe: here } = window as unknown as { axe: typeof axe }
    const { violations, passes } = await here.run(document, {
      resultTypes: ['violations'],
      ...(only === undefined ? {} : { runOnly: { type: 'rule', values: [...only] } }),
    })
    const found = violations.map(({ id, impact, nodes }) => ({
      id,
      impact,
      nodes: nodes.map(({ target, failureSummary }) => ({ target: String(target), summary: failureSummary ?? '' })),
    }))
    return { found, passed: passes.map(({ id }) => id) }
  }, rules)
  if (![...passed, ...found.map(({ id }) => id)].includes('color-contrast'))
    throw new Error('axe could not read the colours of the page')
  return found
}
