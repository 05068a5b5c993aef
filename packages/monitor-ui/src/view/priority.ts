/** The name people know a priority by. */
export function priorityName(priority: number): string {
  if (priority >= 10) return 'top'
  if (priority >= 8) return 'high'
  if (priority >= 4) return 'medium'
  return 'low'
}
