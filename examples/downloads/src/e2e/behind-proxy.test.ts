import { KeyStore } from '@taskfleet/core'
import { startPlainProxy } from '@taskfleet/testkit/fleet/plain-proxy'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { launchBrowser } from './browser.ts'

describe('the monitor in a real browser behind a proxy without websockets', () => {
  const fleet = useFleet()

  test.each(['/fleet', ''])('finds its base by itself, where the proxy takes %o off the path', async (strip) => {
    const { token } = await new KeyStore(fleet.database.db).create({ name: 'viewer', scopes: ['read'] })
    let target = ''
    const proxy = await startPlainProxy(fleet, { target: () => target, strip })
    target = (await startGateway(fleet, { basePath: '/fleet', publicUrl: proxy })).url!
    const task = await fleet.post([])
    const browser = await launchBrowser()
    fleet.cleanup(() => browser.close())
    const page = await browser.newPage()
    const outside: string[] = []
    const faults: string[] = []
    page.on('request', (request) => {
      if (!request.url().startsWith(`${proxy}/fleet/`)) outside.push(request.url())
    })
    page.on('pageerror', (error) => faults.push(String(error)))
    await page.goto(`${proxy}/fleet/#token=${token}`)
    await page.locator('a[href="/fleet/tasks"]').first().click()
    // The page Now has a link to the waiting task as well, and stays until the other page is loaded.
    await page.getByTestId('task-row').locator(`a[href="/fleet/tasks/${task._id.toHexString()}"]`).click()
    await page.waitForURL(`${proxy}/fleet/tasks?open=${task._id.toHexString()}`)
    await page.getByRole('link', { name: 'Full page' }).click()
    await page.waitForURL(`${proxy}/fleet/tasks/${task._id.toHexString()}`)
    await page.reload()
    await page.getByText(task._id.toHexString()).first().waitFor()
    expect(faults).toEqual([])
    expect(outside).toEqual([])
  })
})
