import { Link } from '@tanstack/react-router'
import { useFleetClient } from '@taskfleet/react'
import { type ReactNode, useId, useState } from 'react'
import { Button } from '../components/button.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { knownZones } from '../view/zone.ts'
import { DENSITIES, type Density } from './density.ts'
import { useOwnKey } from './own-key.ts'
import { chooseTheme, chosenTheme, type Theme } from './theme.ts'
import { useUi } from './ui-context.ts'

export interface Props {
  /** The zone of all dates; undefined for the browser's own one. */
  zone: string | undefined
  onZone: (zone: string | undefined) => void
  onClose: () => void
}

const SYSTEM = 'system'
const SCOPES: Record<string, string> = {
  read: 'see tasks',
  write: 'enqueue tasks',
  control: 'pause, cancel and retry them',
  admin: 'manage keys',
}

/** What the key of this page may do, and how this browser shows the monitor. */
export function PreferencesDialog({ zone, onZone, onClose }: Props) {
  const { welcome } = useFleetClient()
  const { id } = useOwnKey()
  const open = useUi((ui) => ui.open)
  const density = useUi((ui) => ui.density)
  const setDensity = useUi((ui) => ui.setDensity)
  const [theme, setTheme] = useState(chosenTheme)
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone
  return (
    <Dialog title="Key and preferences" onClose={onClose}>
      <dl className="mb-4 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5" aria-label="Key">
        <dt className="text-dim">Key</dt>
        <dd>{id === undefined ? 'None: this fleet asks for no key' : <code className="font-mono">{id}</code>}</dd>
        <dt className="text-dim">May</dt>
        <dd>{rights(welcome?.scopes ?? [])}</dd>
        <Limit label="Queues" names={welcome?.queues} />
        <Limit label="Names" names={welcome?.names} />
      </dl>
      <div className="flex flex-col gap-3">
        <Choice
          label="Theme"
          value={theme ?? SYSTEM}
          onChange={(value) => {
            const next = value === SYSTEM ? undefined : (value as Theme)
            chooseTheme(next)
            setTheme(next)
          }}
        >
          <option value={SYSTEM}>As the system</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </Choice>
        <Choice label="Density" value={density} onChange={(value) => setDensity(value as Density)}>
          {Object.entries(DENSITIES).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </Choice>
        <Choice
          label="Time zone"
          value={zone ?? SYSTEM}
          onChange={(value) => onZone(value === SYSTEM ? undefined : value)}
        >
          <option value={SYSTEM}>This browser’s: {own}</option>
          {knownZones().map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </Choice>
        <Link to="/settings" className="button" onClick={onClose}>
          Notifications of this browser
        </Link>
        <Button onClick={() => open('shortcuts')}>Keyboard shortcuts…</Button>
      </div>
    </Dialog>
  )
}

function rights(scopes: readonly string[]): string {
  const words = Object.entries(SCOPES).filter(([scope]) => scopes.includes(scope) || scopes.includes('admin'))
  return words.length === 0 ? 'nothing yet' : words.map(([, word]) => word).join(', ')
}

/** To what the key is limited. */
function Limit({ label, names }: { label: string; names: readonly string[] | undefined }) {
  if (names === undefined) return null
  return (
    <>
      <dt className="text-dim">{label}</dt>
      <dd>
        only <Foreign text={names.join(', ')} max={300} />
      </dd>
    </>
  )
}

interface ChoiceProps {
  label: string
  value: string
  onChange: (value: string) => void
  children: ReactNode
}

function Choice({ label, value, onChange, children }: ChoiceProps) {
  const id = useId()
  return (
    <div className="grid grid-cols-[6rem_1fr] items-center gap-3">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <select id={id} className="field" value={value} onChange={(event) => onChange(event.target.value)}>
        {children}
      </select>
    </div>
  )
}
