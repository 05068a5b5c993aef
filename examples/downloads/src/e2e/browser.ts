import chromium from '@sparticuz/chromium'
import { type Browser, chromium as playwright } from 'playwright-core'

/** The browser of the tests, without a window. */
export async function launchBrowser(): Promise<Browser> {
  // With one process for all, a page that ends takes the browser with it.
  const args = chromium.args.filter((arg) => arg !== '--single-process')
  return playwright.launch({ executablePath: await chromium.executablePath(), args, headless: true })
}
