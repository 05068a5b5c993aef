import { createHmac } from 'node:crypto'

/**
 * The headers of a webhook with a JSON body.
 *
 * @param secret signs the body as `taskfleet-signature: t=SECONDS,v1=HEX`, the HMAC-SHA-256 of `SECONDS.BODY`
 */
export function webhookHeaders(body: string, secret: string | undefined): Record<string, string> {
  const plain = { 'content-type': 'application/json', 'user-agent': 'taskfleet' }
  if (secret === undefined) return plain
  const seconds = Math.floor(Date.now() / 1_000)
  const signature = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return { ...plain, 'taskfleet-signature': `t=${seconds},v1=${signature}` }
}
