-- Verdicts in each order that a list of them has, and by what they are most often chosen; the last holds what else they are chosen by,
-- so that it is looked through instead of the rows.
DROP INDEX now_verdicts_intent;
DROP INDEX now_verdicts_class;
CREATE INDEX now_verdicts_intent ON now_verdicts (intent, score, id);
CREATE INDEX now_verdicts_class ON now_verdicts (class, score, id);
CREATE INDEX now_verdicts_requests ON now_verdicts (requests, id);
CREATE INDEX now_verdicts_automation ON now_verdicts (automation, id);
CREATE INDEX now_verdicts_first ON now_verdicts (first_seen, id);
CREATE INDEX now_verdicts_detected ON now_verdicts (detected_at, id);
CREATE INDEX now_verdicts_subject ON now_verdicts (subject, id);
CREATE INDEX now_verdicts_others ON now_verdicts (response, kind, phase, zone, policy, country, organization, score, id);
