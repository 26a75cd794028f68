/*
 * The irrigation guest: opens one valve when the soil is dry, closes it when it is wet, and closes
 * it whenever something is not as it should be.
 *
 * Every step: read the clocks, the flow meter and the probe; filter; decide; set the valve; report.
 * The valve is open only while a plausible, moving probe says the soil is not yet wet, water is
 * seen to flow, the opening is not too long and the volume of the day is not used up.
 *
 * Openings, pauses and days are measured by the time since the start, which no clock can change; the
 * clock only says when a day begins.  What limits the volume and what locks the valve is kept over a
 * restart; all else is lost there, so a full pause has to pass after one.
 */
#include "levada.h"

#define VERSION "1.2.0"

/*          id  name            unit      least    most  default */
#define PARAMETERS(P, AND)                                        \
    P( 0, on_pct,         "%",        0,     100,      0) AND     \
    P( 1, off_pct,        "%",        0,     100,      0) AND     \
    P( 2, max_open_s,     "s",        1,   43200,   1200) AND     \
    P( 3, min_pause_s,    "s",        0,   86400,   2400) AND     \
    P( 4, daily_cap_l,    "l",        0, 1000000,  20000) AND     \
    P( 5, filter_kind,    "",         0,       2,      0) AND     \
    P( 6, ema_shift,      "",         0,       6,      2) AND     \
    P( 7, window,         "",         1,      16,      8) AND     \
    P( 8, min_counts,     "counts",   0,    4095,    100) AND     \
    P( 9, max_counts,     "counts",   0,    4095,   4000) AND     \
    P(10, stuck_counts,   "counts",   0,    4095,      2) AND     \
    P(11, stuck_s,        "s",        1,   86400,   3600) AND     \
    P(12, flow_confirm_s, "s",        0,    3600,    120) AND     \
    P(13, pulses_per_l,   "1/l",      1,   10000,    450) AND     \
    P(14, leak_pulses,    "pulses",   1, 1000000,     10) AND     \
    P(15, dry_counts,     "counts",   0,    4095,      0) AND     \
    P(16, wet_counts,     "counts",   0,    4095,      0) AND     \
    P(17, limit_counts,   "counts",   0,    4095,      0) AND     \
    P(18, period_s,       "s",        1,   86400,    600) AND     \
    P(19, open_period_s,  "s",        0,   86400,      0) AND     \
    P(20, refill,         "",         0,       1,      0) AND     \
    P(21, no_flow_limit,  "",         0,     100,      3) AND     \
    P(22, confirm,        "",         0, 1000000,      0) AND     \
    P(23, flat_s,         "s",        1,  604800,  86400) AND     \
    P(24, most_rate,  "counts/min",   0,    4095,    100) AND     \
    P(25, hampel_readings, "",        3,      16,      7) AND     \
    P(26, hampel_tenths,  "",         0,     100,     80) AND     \
    P(27, window_s,       "s",        1,  604800,   3600)

/* Pairs that have to agree; `unless 0` where 0 stands for what is derived. */
#define RULES(R, AND)                                             \
    R(on_pct,     <,  off_pct,    unless 0) AND                   \
    R(min_counts, <,  max_counts, )         AND                   \
    R(dry_counts, !=, wet_counts, unless 0)

#define COMMA ,
#define AS_NAME(id, name, unit, least, most, standard) name = id
#define AS_LEAST(id, name, unit, least, most, standard) least
#define AS_MOST(id, name, unit, least, most, standard) most
#define AS_STANDARD(id, name, unit, least, most, standard) standard
#define AS_JSON(id, name, unit, least, most, standard)                                             \
    {"id":id,"name":#name,"unit":unit,"minimum":least,"maximum":most,"default":standard}
#define TEXT(...) #__VA_ARGS__
#define AS_RULE(left, comparison, right, exempt) TEXT(left comparison right exempt)
#define HOLDS(left, comparison, right, exempt)                                                     \
    ((sizeof #exempt > 1 && !(setting[left] && setting[right])) ||                                 \
     setting[left] comparison setting[right])

enum { PARAMETERS(AS_NAME, COMMA), PARAMETER_COUNT };
static const int least[] = {PARAMETERS(AS_LEAST, COMMA)};
static const int most[] = {PARAMETERS(AS_MOST, COMMA)};
static int setting[] = {PARAMETERS(AS_STANDARD, COMMA)};

LEVADA_GUEST({"name":"irrigation","version":VERSION,"abi":LEVADA_ABI_VERSION,
    "parameters":[PARAMETERS(AS_JSON, COMMA)],
    "rules":[RULES(AS_RULE, COMMA)],
    "outputs":[{"pin":LEVADA_PIN_VALVE,"name":"valve"}]})

/* Why the valve is as it is: `why` in the telemetry. */
enum why {
    HOLD, OPENED, CLOSED_WET, CLOSED_MAX_OPEN, WAIT_PAUSE, WAIT_DAILY_CAP, PROBE_RANGE,
    PROBE_STUCK, PROBE_MISSING, NO_FLOW, LEAK, STARTING, CLOCK, LOCKED
};

#define DAY_S 86400
#define HOUR_S 3600
#define SLACK_S HOUR_S        /* so much may a day be too short that begins at midnight */
#define LATEST_S (6 * HOUR_S) /* one that is shorter by more begins at the midnight after */
#define UNSET_DAYS 3653       /* a clock that nobody has set shows the first years from 1970 on */
#define MOST_COUNTS 4095
#define STANDARD_BAND_PCT 10 /* off_pct over on_pct if it is not set */
#define STOPPED_CLOCK_STEPS 2
#define STUCK_READINGS 3 /* fewer equal readings may be chance, however long a step takes */

typedef unsigned int seconds; /* differences stay right where 32 bits wrap */

static int valve;        /* 1 = commanded open */
static seconds since;    /* when the valve last changed, or the start */
static seconds last;     /* the step before this one */
static int same_time;    /* steps in a row at which the clock had not moved */
static seconds flow_at;  /* when water was last seen to flow, or the valve opened */
static int no_flow;      /* the valve was closed because no water came */
static int refilling;    /* it was opened, and off_pct has not been reached since */
static int day;          /* days since 1970 that `used_l` belongs to, by the clock */
static int elapsed_s;    /* of this day as measured, at most DAY_S; negative: it began too early */
static int fresh;        /* nothing was kept, and the clock has not been set since */
static unsigned used_l, rest_pulses; /* of this day: litres, and pulses short of one more */
static unsigned rate_l_h; /* flow as last measured */
static int unseen;       /* openings in a row in which no water was seen */
static int confirmed;    /* `confirm` as it was last set */

/* Whether a probe is alive. */
struct movement {
    int anchor;        /* the reading from which it has to move */
    seconds unmoved_s; /* so long it has not */
};
static struct movement watered; /* while water flowed */

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static int reaches(int value, int limit) { return value >= limit; }

static int distance(int a, int b) { return a < b ? b - a : a - b; }

/* Whether the probe has moved by `stuck_counts` within `limit`; `passed` is the time since the
 * reading before, of which no more than a share counts. */
static int is_stuck(struct movement *m, int raw, seconds passed, seconds limit)
{
    seconds share = (limit + STUCK_READINGS - 1) / STUCK_READINGS;
    if (reaches(distance(raw, m->anchor), setting[stuck_counts])) {
        m->anchor = raw;
        m->unmoved_s = 0;
    } else if (m->unmoved_s < limit) {
        m->unmoved_s += passed < share ? passed : share;
    }
    return m->unmoved_s >= limit;
}

/* --- calibration ------------------------------------------------------------------------------ */

/* Percent of the way from dry to wet; either end may have the higher counts. */
static int percent(int raw, int dry, int wet)
{
    if (dry == wet)
        return 0;
    return clamp((dry - raw) * 100 / (dry - wet), 0, 100);
}

int levada_process(int raw, int dry, int wet, int limit)
{
    raw = clamp(raw, 0, MOST_COUNTS);
    dry = clamp(dry, 0, MOST_COUNTS);
    wet = clamp(wet, 0, MOST_COUNTS);
    int irrigate = dry > wet ? raw > limit : dry < wet && raw < limit;
    return percent(raw, dry, wet) | irrigate << 8;
}

/* --- filter ----------------------------------------------------------------------------------- */

#define EMA_FRACTION 8 /* binary places kept behind the point */
#define RING 16

struct ring {
    int counts[RING];
    int head; /* where the next one goes */
    int filled; /* readings taken, counted to FILLED_MOST */
};
#define FILLED_MOST 64

static int ema;
static struct ring taken;

static void put(struct ring *ring, int raw)
{
    ring->counts[ring->head] = raw;
    ring->head = (ring->head + 1) % RING;
    if (ring->filled < FILLED_MOST)
        ring->filled++;
}

/* The last `most` readings or as many as there are, in ascending order of their distance from
 * `centre`; how many. */
static int sorted(const struct ring *ring, int most, int centre, int *into)
{
    int count = ring->filled < most ? ring->filled : most;
    for (int i = 0; i < count; i++) {
        int value = distance(ring->counts[(ring->head + RING - 1 - i) % RING], centre), k = i;
        for (; k > 0 && into[k - 1] > value; k--)
            into[k] = into[k - 1];
        into[k] = value;
    }
    return count;
}

/* Of distances from `centre`, so of the readings themselves if that is 0. */
static int median(const struct ring *ring, int most, int centre)
{
    int values[RING];
    int count = sorted(ring, most, centre, values);
    return (values[(count - 1) / 2] + values[count / 2] + 1) / 2;
}

static int mean(const struct ring *ring, int most)
{
    int count = ring->filled < most ? ring->filled : most, sum = 0;
    for (int i = 1; i <= count; i++)
        sum += ring->counts[(ring->head + RING - i) % RING];
    return (sum + count / 2) / count;
}

/* All filters follow every reading, so that changing the kind changes nothing else. */
static void take(int raw)
{
    raw = clamp(raw, 0, MOST_COUNTS);
    if (taken.filled == 0)
        ema = raw << EMA_FRACTION;
    else
        ema += ((raw << EMA_FRACTION) - ema) >> setting[ema_shift];
    put(&taken, raw);
}

int levada_filter(int raw)
{
    take(raw);
    switch (setting[filter_kind]) {
    case 0: return (ema + (1 << (EMA_FRACTION - 1))) >> EMA_FRACTION;
    case 1: return mean(&taken, setting[window]);
    default: return median(&taken, setting[window], 0);
    }
}

int levada_filter_state(void) { return ~ema; }

int levada_look_back(int value)
{
    if (value < 0)
        ema = clamp(~value, 0, MOST_COUNTS << EMA_FRACTION);
    else
        take(value);
    return LEVADA_OK;
}

static int filter_is_full(void)
{
    return taken.filled >= (setting[filter_kind] == 0 ? 1 << setting[ema_shift] : setting[window]);
}

/* --- anomalies -------------------------------------------------------------------------------- */

static struct ring seen;
static struct movement moving;
static int raw_before;
static seconds seen_at;

static int is_outlier(int raw)
{
    int most_readings = setting[hampel_readings];
    if (!setting[hampel_tenths] || seen.filled < most_readings)
        return 0;
    int centre = median(&seen, most_readings, 0);
    int spread = median(&seen, most_readings, centre); /* the probe resolves no less than 1 */
    /* 1.483 times the median deviation is the standard deviation of what is normally distributed */
    return distance(raw, centre) * 10000 > setting[hampel_tenths] * 1483 * (spread ? spread : 1);
}

int levada_anomaly(int raw, int t_s)
{
    if (raw < setting[min_counts] || raw > setting[max_counts])
        return LEVADA_ANOMALY_RANGE;
    int first = !seen.filled, passed = clamp((int)((seconds)t_s - seen_at), 0, DAY_S), found = 0;
    if (first) {
        passed = 0;
        moving.anchor = raw;
    }
    if (is_stuck(&moving, raw, (seconds)passed, (seconds)setting[flat_s]))
        found |= LEVADA_ANOMALY_STUCK;
    if (passed && setting[most_rate] && distance(raw, raw_before) * 60 > setting[most_rate] * passed)
        found |= LEVADA_ANOMALY_RATE;
    put(&seen, raw);
    raw_before = raw;
    seen_at = (seconds)t_s;
    return found | (is_outlier(raw) ? LEVADA_ANOMALY_HAMPEL : 0);
}

/* --- windows ---------------------------------------------------------------------------------- */

#define MOST_I32 0x7fffffff

static struct totals {
    unsigned number; /* of the window since 1970 */
    int count, minimum, maximum, sum;
} windows[2]; /* the open one and the one before it */
static int open_window;

int levada_window_add(int value, int t_s)
{
    struct totals *w = &windows[open_window];
    unsigned number = (unsigned)t_s / (unsigned)setting[window_s];
    int another = w->count && number != w->number;
    if (another) {
        open_window = !open_window;
        w = &windows[open_window];
    } else if (w->count && (w->sum > 0 ? value > MOST_I32 - w->sum : value < -MOST_I32 - 1 - w->sum)) {
        return LEVADA_INVALID;
    }
    if (another || !w->count) {
        w->number = number;
        w->count = w->sum = 0;
        w->minimum = w->maximum = value;
    }
    w->count++;
    w->sum += value;
    w->minimum = value < w->minimum ? value : w->minimum;
    w->maximum = value > w->maximum ? value : w->maximum;
    return another;
}

/* Rounded to the nearest, halves away from 0. */
static int quotient(int sum, unsigned count)
{
    unsigned magnitude = sum < 0 ? 0u - (unsigned)sum : (unsigned)sum;
    unsigned rounded = count ? (magnitude + count / 2) / count : 0;
    return (int)(sum < 0 ? 0u - rounded : rounded);
}

int levada_window_get(int kind)
{
    const struct totals *w = &windows[kind & LEVADA_WINDOW_BEFORE ? !open_window : open_window];
    switch (kind & ~LEVADA_WINDOW_BEFORE) {
    case LEVADA_WINDOW_COUNT: return w->count;
    case LEVADA_WINDOW_MEAN: return quotient(w->sum, (unsigned)w->count);
    case LEVADA_WINDOW_MINIMUM: return w->minimum;
    case LEVADA_WINDOW_MAXIMUM: return w->maximum;
    case LEVADA_WINDOW_SUM: return w->sum;
    default: return LEVADA_INVALID;
    }
}

/* --- telemetry -------------------------------------------------------------------------------- */

static char message[192];
static char *end;

static void add(const char *text)
{
    while (*text)
        *end++ = *text++;
}

static void add_field(const char *name, int value)
{
    char digits[10];
    int count = 0;
    unsigned magnitude = value < 0 ? 0u - (unsigned)value : (unsigned)value;

    add(end == message ? "{\"" : ",\"");
    add(name);
    add("\":");
    if (value < 0)
        *end++ = '-';
    do
        digits[count++] = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    while (count)
        *end++ = digits[--count];
}

/* --- parameters ------------------------------------------------------------------------------- */

int levada_param_get(int id)
{
    return (unsigned)id < PARAMETER_COUNT ? setting[id] : LEVADA_INVALID;
}

int levada_param_set(int id, int value)
{
    if ((unsigned)id >= PARAMETER_COUNT || value < least[id] || value > most[id])
        return LEVADA_INVALID;
    int before = setting[id];
    setting[id] = value;
    if (!(RULES(HOLDS, &&))) {
        setting[id] = before;
        return LEVADA_INVALID;
    }
    if (id == confirm && value && value != confirmed) { /* the same again is only a restart */
        confirmed = value;
        unseen = 0;
    }
    return LEVADA_OK;
}

/* Counts, or negative if there are none; a parameter of 0 stands for the node's own value. */
static int calibration(int parameter, int key)
{
    int counts = setting[parameter] ? setting[parameter] : get_config(key);
    return counts < 0 || counts > MOST_COUNTS ? LEVADA_INVALID : counts;
}

/* --- what is kept ----------------------------------------------------------------------------- */

enum slot { LAYOUT, DAY, USED_L, REST_PULSES, ELAPSED_S, UNSEEN, CONFIRMED, RATE_L_H, SLOTS };
#define THIS_LAYOUT 1
#define GRAIN_S 900 /* elapsed time alone is kept no oftener, as flash wears */
#define MOST_L 0x7fffffff
#define MOST_L_H 100000000 /* nobody waters faster, and sums stay numbers */

static int kept[SLOTS]; /* as the node has it */

static void recall(void)
{
    for (int k = 0; k < SLOTS; k++)
        kept[k] = keep_get(k);
    fresh = kept[LAYOUT] != THIS_LAYOUT;
    if (fresh) {
        day = elapsed_s = unseen = confirmed = 0;
        used_l = rest_pulses = rate_l_h = 0;
        return;
    }
    day = kept[DAY];
    used_l = (unsigned)clamp(kept[USED_L], 0, MOST_L);
    rest_pulses = (unsigned)clamp(kept[REST_PULSES], 0, most[pulses_per_l]);
    elapsed_s = clamp(kept[ELAPSED_S], -SLACK_S, DAY_S);
    unseen = clamp(kept[UNSEEN], 0, most[no_flow_limit]);
    confirmed = kept[CONFIRMED];
    rate_l_h = (unsigned)clamp(kept[RATE_L_H], 0, MOST_L_H);
}

/* The volume is kept ahead by what flows until the next step: nobody counts that if the node starts
 * again before. */
static void keep(int wait_s)
{
    unsigned minutes = ((unsigned)wait_s + 59) / 60; /* at most 720, see max_open_s */
    unsigned volume_l = used_l;
    if (valve && rate_l_h)
        volume_l += rate_l_h / 60 * minutes + rate_l_h % 60 * minutes / 60 + 1;
    if (volume_l > MOST_L)
        volume_l = MOST_L;
    const int values[SLOTS] = {THIS_LAYOUT, day,    (int)volume_l, (int)rest_pulses,
                               elapsed_s,   unseen, confirmed,     (int)rate_l_h};
    int due = elapsed_s < kept[ELAPSED_S] || elapsed_s - kept[ELAPSED_S] >= GRAIN_S;
    for (int k = 0; k < SLOTS; k++)
        due |= k != ELAPSED_S && values[k] != kept[k];
    for (int k = 0; due && k < SLOTS; k++) {
        if (values[k] != kept[k])
            keep_set(k, values[k]);
        kept[k] = values[k];
    }
}

/* --- the step --------------------------------------------------------------------------------- */

int levada_init(void)
{
    last = since = flow_at = (seconds)uptime_s();
    valve = no_flow = refilling = same_time = taken.filled = 0;
    watered.unmoved_s = 0;
    recall();
    set_output(LEVADA_PIN_VALVE, 0);
    return setting[period_s] * 1000;
}

/* The seconds since the last step; a time that goes back counts as none, and its pause starts over. */
static int tell_time(seconds now, seconds *passed)
{
    int difference = (int)(now - last);
    if (difference < 0)
        since = flow_at = last = now;
    same_time = difference ? 0 : same_time + (same_time < STOPPED_CLOCK_STEPS);
    *passed = difference < 0 ? 0 : (seconds)difference;
    return difference >= 0 && same_time < STOPPED_CLOCK_STEPS;
}

/*
 * A new day, with a new allowance, begins when the clock says so and a day has been measured since
 * the last one began.  What is short of that is waited for, and what was too early is missing from
 * the next day, so that the first N days never have more than N + 1 allowances, nor any N later ones
 * more than N + 2, whatever the clock does.  By a clock that is hours away from the day measured, the
 * allowance stays what it is until midnight.
 */
static void tell_day(seconds clock, seconds passed)
{
    int today = (int)(clock / DAY_S), second = (int)(clock % DAY_S);
    int unused = !used_l && !rest_pulses;
    elapsed_s += passed < DAY_S ? (int)passed : DAY_S;
    if (elapsed_s > DAY_S)
        elapsed_s = DAY_S;
    if (fresh && today >= UNSET_DAYS) { /* a new node has its first day until midnight */
        fresh = 0;
        if (unused)
            elapsed_s = clamp(second, 0, DAY_S - SLACK_S - 1);
    }
    if (today == day)
        return;
    if (unused || elapsed_s < DAY_S - LATEST_S) {
        day = today;
    } else if (elapsed_s >= (second < SLACK_S ? DAY_S - SLACK_S : DAY_S)) {
        day = today;
        elapsed_s -= DAY_S;
        used_l = rest_pulses = 0;
    }
}

static void count_volume(unsigned pulses, seconds passed)
{
    unsigned per_l = (unsigned)setting[pulses_per_l];
    rest_pulses += pulses;
    used_l += rest_pulses / per_l;
    if (used_l > MOST_L)
        used_l = MOST_L;
    rest_pulses %= per_l;
    if (valve && pulses && passed) {
        unsigned litres = pulses / per_l;
        unsigned in_an_hour = litres < 100 ? pulses * HOUR_S / per_l /* counts are below 10^6 */
                              : litres < MOST_L_H / HOUR_S ? litres * HOUR_S
                                                           : MOST_L_H;
        rate_l_h = in_an_hour / passed;
    }
}

/* What is wrong with the reading, or HOLD. */
static enum why check_probe(int raw, int dry, int wet, seconds watered_s)
{
    if (raw < 0)
        return PROBE_MISSING;
    if (raw < setting[min_counts] || raw > setting[max_counts] || dry < 0 || wet < 0 || dry == wet)
        return PROBE_RANGE;
    return is_stuck(&watered, raw, watered_s, (seconds)setting[stuck_s]) ? PROBE_STUCK : HOLD;
}

/* Why an open valve closes, or HOLD. */
static enum why check_open(seconds now, int pct, int off, int capped)
{
    if (setting[flow_confirm_s] && now - flow_at >= (seconds)setting[flow_confirm_s])
        return NO_FLOW;
    if (now - since >= (seconds)setting[max_open_s])
        return CLOSED_MAX_OPEN;
    if (capped)
        return WAIT_DAILY_CAP;
    return reaches(pct, off) ? CLOSED_WET : HOLD;
}

/* OPENED if a closed valve may open, or why it stays closed. */
static enum why check_closed(seconds now, int pct, int on, int capped, int leak)
{
    enum why why = OPENED;
    if (setting[no_flow_limit] && unseen >= setting[no_flow_limit])
        why = LOCKED;
    else if (!filter_is_full())
        why = STARTING;
    else if (reaches(pct, on))
        why = HOLD;
    else if (now - since < (seconds)setting[min_pause_s])
        why = no_flow ? NO_FLOW : WAIT_PAUSE;
    else if (capped)
        why = WAIT_DAILY_CAP;
    return leak && why != OPENED ? LEAK : why;
}

int levada_step(void)
{
    seconds now = (seconds)uptime_s(), passed;
    int time_goes_on = tell_time(now, &passed);
    tell_day((seconds)now_s(), passed);

    int flow = read_sensor(LEVADA_SENSOR_FLOW);
    unsigned pulses = flow < 0 ? 0 : (unsigned)flow;
    count_volume(pulses, passed);
    int capped = setting[daily_cap_l] && used_l >= (unsigned)setting[daily_cap_l];
    if (valve && pulses) {
        flow_at = now;
        unseen = 0;
    }
    int watering = valve && (pulses || !setting[flow_confirm_s]);
    /* what still ran out while the valve was closing is no leak */
    int leak = !valve && pulses >= (unsigned)setting[leak_pulses] &&
               last - since >= (seconds)setting[flow_confirm_s];

    int raw = read_sensor(LEVADA_SENSOR_MOISTURE);
    int dry = calibration(dry_counts, LEVADA_CONFIG_DRY);
    int wet = calibration(wet_counts, LEVADA_CONFIG_WET);
    int on = setting[on_pct];
    if (!on)
        on = percent(clamp(calibration(limit_counts, LEVADA_CONFIG_LIMIT), 0, MOST_COUNTS), dry, wet);
    int off = setting[off_pct] ? setting[off_pct] : on + STANDARD_BAND_PCT;
    off = clamp(off, on, 100);

    int filtered = -1, pct = -1;
    enum why why = check_probe(raw, dry, wet, watering ? passed : 0);
    if (why == HOLD) {
        filtered = levada_filter(raw);
        pct = percent(filtered, dry, wet);
        refilling = refilling && setting[refill] && !reaches(pct, off);
        if (refilling)
            on = off;
        if (!time_goes_on)
            why = CLOCK;
        else if (valve)
            why = check_open(now, pct, off, capped);
        else
            why = check_closed(now, pct, on, capped, leak);
    } else {
        taken.filled = 0; /* trust is earned again from the start */
    }

    int open = why == OPENED || (valve && why == HOLD);
    if (open != valve) {
        valve = open;
        since = flow_at = now;
        no_flow = why == NO_FLOW;
        refilling |= open;
        unseen += open && setting[flow_confirm_s] && unseen < most[no_flow_limit];
    }
    set_output(LEVADA_PIN_VALVE, valve);

    end = message;
    add_field("raw", raw);
    add_field("pct", pct);
    add_field("filt", filtered);
    add_field("on", on);
    add_field("off", off);
    add_field("irrigar", valve);
    add_field("why", (int)why);
    add_field("flow", flow);
    add_field("day_l", (int)used_l);
    add("}");
    *end = 0;
    mqtt_publish("data", message); /* a node without link keeps it; nothing to do here */

    last = now;
    int wait_s = setting[period_s];
    if (valve) {
        int left_s = setting[max_open_s] - (int)(now - since);
        if (setting[open_period_s])
            wait_s = setting[open_period_s];
        if (wait_s > left_s)
            wait_s = left_s;
    }
    keep(wait_s);
    return wait_s * 1000;
}
