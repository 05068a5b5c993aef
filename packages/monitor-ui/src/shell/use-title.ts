import { useLiveQuery } from '@taskfleet/react'
import { useEffect } from 'react'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { visibleLine } from '../view/text.ts'
import { useEnvironment } from './environment.tsx'

const OPEN_ERRORS = errorsOf('open')

/** Names the tab: `3 failing · Tasks · prod`. */
export function useTitle(page: string): void {
  const { rows } = useLiveQuery(OPEN_ERRORS)
  const environment = useEnvironment()
  const failing = rows.length >= ERROR_LIMIT ? `${ERROR_LIMIT}+` : rows.length
  const title = [
    ...(rows.length > 0 ? [`${failing} failing`] : []),
    visibleLine(page, 60),
    visibleLine(environment ?? 'Taskfleet', 40),
  ].join(' · ')
  useEffect(() => {
    document.title = title
  }, [title])
}
