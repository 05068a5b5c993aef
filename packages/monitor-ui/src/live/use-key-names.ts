import { useFleetClient } from '@taskfleet/react'
import { useMemo } from 'react'
import { useCan, useLimited } from './hooks.ts'
import { useAsked } from './use-asked.ts'

const AGAIN_MS = 60_000

/** The names of keys by their ids. Empty for a key that may not list keys. */
export function useKeyNames(): ReadonlyMap<string, string> {
  const client = useFleetClient()
  const isAdmin = useCan('admin')
  const isLimited = useLimited()
  const { answer } = useAsked(() => client.keys.list(), {
    key: 'key names',
    everyMs: AGAIN_MS,
    active: isAdmin && !isLimited,
  })
  return useMemo(() => new Map(answer?.map(({ id, name }) => [id, name])), [answer])
}
