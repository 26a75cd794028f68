/*
 * The ET guest: keeps account of the water in the root zone, as one does with a checkbook, and waters
 * when so much is spent as the farmer allows.
 *
 * Reference ET times the crop coefficient is spent; rain and irrigation are paid in; what is more than
 * the soil holds is lost (FAO-56, Eq. 58, 66 and 85).  Where enough rain is expected it waits, until
 * the limit.  With `source` = 1 a probe corrects the account whenever water has had time to spread;
 * so the same guest shows what each source of knowledge is worth.
 *
 * The valve is open only while water is seen to flow, the opening is not too long and the volume
 * allowed is not used up.  Openings, pauses and that volume are measured by the time since the start,
 * which no clock can change; the clock only says how old the crop is.  Depletion, volume and what locks
 * the valve are kept over a restart.
 */
#include "levada.h"

#define VERSION "1.0.0"

/*          id  name            unit      least     most  default */
#define PARAMETERS(P, AND)                                         \
    P( 0, source,         "",         0,        1,      0) AND     \
    P( 1, taw_mm,         "mm",      10,      500,    100) AND     \
    P( 2, refill_mm,      "mm",       1,      500,     40) AND     \
    P( 3, leave_mm,       "mm",       0,      500,      0) AND     \
    P( 4, limit_mm,       "mm",       1,      500,     60) AND     \
    P( 5, start_mm,       "mm",       0,      500,      0) AND     \
    P( 6, efficiency_pct, "%",        1,      100,     90) AND     \
    P( 7, rain_pct,       "%",        0,      100,    100) AND     \
    P( 8, rain_skip,      "0.1 mm",   0,     1000,     50) AND     \
    P( 9, tip,            "0.01 mm",  1,     1000,     20) AND     \
    P(10, kc_ini_pct,     "%",        0,      200,     30) AND     \
    P(11, kc_mid_pct,     "%",        0,      200,    120) AND     \
    P(12, kc_end_pct,     "%",        0,      200,     60) AND     \
    P(13, planting_doy,   "d",        0,      366,      0) AND     \
    P(14, ini_d,          "d",        1,      365,     30) AND     \
    P(15, dev_d,          "d",        1,      365,     40) AND     \
    P(16, mid_d,          "d",        1,      365,     50) AND     \
    P(17, late_d,         "d",        1,      365,     30) AND     \
    P(18, et_wait_s,      "s",        1,   604800, 172800) AND     \
    P(19, et_else,        "0.01 mm/d", 0,    2000,    500) AND     \
    P(20, area_m2,        "m2",       1, 10000000,    100) AND     \
    P(21, pulses_per_l,   "1/l",      1,    10000,    450) AND     \
    P(22, rate,           "0.1 mm/h", 0,    10000,      0) AND     \
    P(23, max_open_s,     "s",        1,    43200,  14400) AND     \
    P(24, min_pause_s,    "s",        0,    86400,   2400) AND     \
    P(25, daily_cap_l,    "l",        0,  1000000,  20000) AND     \
    P(26, flow_confirm_s, "s",        0,     3600,    120) AND     \
    P(27, leak_pulses,    "pulses",   1,  1000000,     10) AND     \
    P(28, no_flow_limit,  "",         0,      100,      3) AND     \
    P(29, confirm,        "",         0,  1000000,      0) AND     \
    P(30, dry_counts,     "counts",   0,     4095,      0) AND     \
    P(31, wet_counts,     "counts",   0,     4095,      0) AND     \
    P(32, min_counts,     "counts",   0,     4095,    100) AND     \
    P(33, max_counts,     "counts",   0,     4095,   4000) AND     \
    P(34, settle_s,       "s",        0,   604800,  21600) AND     \
    P(35, period_s,       "s",        1,    86400,    600) AND     \
    P(36, open_period_s,  "s",        0,    86400,     60)

/* Pairs that have to agree; `unless 0` where 0 stands for what is derived. */
#define RULES(R, AND)                                              \
    R(leave_mm,   <,  refill_mm,  )         AND                    \
    R(refill_mm,  <=, limit_mm,   )         AND                    \
    R(refill_mm,  <=, taw_mm,     )         AND                    \
    R(min_counts, <,  max_counts, )         AND                    \
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

LEVADA_GUEST({"name":"et","version":VERSION,"abi":LEVADA_ABI_VERSION,
    "parameters":[PARAMETERS(AS_JSON, COMMA)],
    "rules":[RULES(AS_RULE, COMMA)],
    "outputs":[{"pin":LEVADA_PIN_VALVE,"name":"valve"}]})

/* Why the valve is as it is: `why` in the telemetry, the numbers those of all shipped guests. */
enum why {
    HOLD = 0, OPENED = 1, CLOSED_WET = 2, CLOSED_MAX_OPEN = 3, WAIT_PAUSE = 4, WAIT_DAILY_CAP = 5,
    PROBE_RANGE = 6, PROBE_MISSING = 8, NO_FLOW = 9, LEAK = 10, CLOCK = 12, LOCKED = 13,
    WAIT_RAIN = 14
};

#define DAY_S 86400
#define HALF_DAY_S 43200
#define HOUR_S 3600
#define HOURS 25
#define UNSET_DAYS 3653 /* a clock that nobody has set shows the first years from 1970 on */
#define MOST_COUNTS 4095
#define STOPPED_CLOCK_STEPS 2
#define MOST_READ 100000   /* tips or 0.01 mm in one step: no weather has more */
#define MOST_PULSES 10000000
#define MOST_CL 40000000   /* in one step, so that sums stay numbers, */
#define MOST_USED_CL 1000000000 /* and of a day */
#define EMA_SHIFT 2
#define EMA_FRACTION 8

typedef unsigned int seconds; /* differences stay right where 32 bits wrap */

static int valve;          /* 1 = commanded open */
static seconds since;      /* when the valve last changed, or the start */
static seconds last;       /* the step before this one */
static int same_time;      /* steps in a row at which the clock had not moved */
static seconds flow_at;    /* when water was last seen to flow, or the valve opened */
static int no_flow;        /* the valve was closed because no water came */
static int watered;        /* the valve was open since the start */
static int depletion;      /* of the root zone below field capacity, 0.01 mm */
static int fresh;          /* nothing was kept: depletion begins at `start_mm` */
static int assumed;        /* reference ET that was assumed and not told since, 0.01 mm */
static seconds silent_s;   /* since reference ET was told last */
static unsigned used_cl;   /* of the daily volume, 0.01 l: the sum of the hours below */
static unsigned hours[HOURS]; /* water of the present hour and of the 24 before it, 0.01 l */
static int hour;           /* which of them is the present one */
static seconds hour_s;     /* so long it has lasted */
static unsigned et_rest, else_rest, rain_rest, pulse_rest, depth_rest; /* of divisions */
static int unseen;         /* openings in a row in which no water was seen */
static int confirmed;      /* `confirm` as it was last set */
static int ema;            /* filtered counts, times 2^EMA_FRACTION; negative: none yet */

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* `value` and the rest of the division before, divided; the new rest is kept. */
static unsigned divide(unsigned value, unsigned by, unsigned *rest)
{
    unsigned sum = value + *rest % by;
    *rest = sum % by;
    return sum / by;
}

/* --- the account ------------------------------------------------------------------------------ */

static void spend(unsigned hundredths)
{
    depletion = clamp(depletion + (int)hundredths, 0, setting[taw_mm] * 100);
}

static void pay_in(unsigned hundredths)
{
    depletion = (unsigned)depletion < hundredths ? 0 : depletion - (int)hundredths;
}

static int year_length(int year) { return year % 4 ? 365 : 366; } /* till 2100 */

/* Days since planting, or -1 if nobody knows. */
static int crop_age(int days)
{
    int year = 1970;
    if (!setting[planting_doy] || days < UNSET_DAYS)
        return -1;
    while (days >= year_length(year))
        days -= year_length(year++);
    int age = days + 1 - setting[planting_doy];
    return age < 0 ? age + year_length(year - 1) : age;
}

/* Crop coefficient in percent: FAO-56 Eq. 66 between the stages, bare ground after the last. */
static int crop_coefficient(int age)
{
    int ini = setting[kc_ini_pct], mid = setting[kc_mid_pct], end = setting[kc_end_pct];
    if (age < 0)
        return mid;
    if ((age -= setting[ini_d]) < 0)
        return ini;
    if (age < setting[dev_d])
        return ini + (mid - ini) * age / setting[dev_d];
    if ((age -= setting[dev_d]) < setting[mid_d])
        return mid;
    if ((age -= setting[mid_d]) < setting[late_d])
        return mid + (end - mid) * age / setting[late_d];
    return ini;
}

/* Crop ET of what was told, or, if nothing has been for too long, of what is assumed instead; that
 * is taken back once the source tells all that it has not told. */
static void count_et(int et0, seconds passed)
{
    int crop_et0 = 0;
    if (et0 >= 0) {
        silent_s = 0;
        et0 = clamp(et0, 0, MOST_READ);
        crop_et0 = et0 > assumed ? et0 - assumed : 0;
        assumed -= et0 - crop_et0;
    } else {
        silent_s = silent_s > DAY_S * 14u ? silent_s : silent_s + passed;
        if (!setting[source] && silent_s > (seconds)setting[et_wait_s]) {
            seconds counted = passed < HALF_DAY_S ? passed : HALF_DAY_S;
            crop_et0 = (int)divide((unsigned)setting[et_else] * counted, DAY_S, &else_rest);
            assumed = clamp(assumed + crop_et0, 0, MOST_READ);
        }
    }
    unsigned kc = (unsigned)crop_coefficient(crop_age((int)((seconds)now_s() / DAY_S)));
    spend(divide((unsigned)crop_et0 * kc, 100, &et_rest));
}

static void count_rain(int tips)
{
    if (tips > 0) {
        unsigned caught = (unsigned)clamp(tips, 0, MOST_READ) * (unsigned)setting[tip];
        caught = caught < MOST_READ ? caught : MOST_READ;
        pay_in(divide(caught * (unsigned)setting[rain_pct], 100, &rain_rest));
    }
}

/* Water of this step [0.01 l]: by the meter, or, where there is none, by the rate and the time. */
static unsigned delivered(int flow, seconds passed)
{
    unsigned area = (unsigned)setting[area_m2], depth;
    if (flow >= 0) {
        unsigned pulses = (unsigned)clamp(flow, 0, MOST_PULSES);
        unsigned cl = divide(pulses * 100, (unsigned)setting[pulses_per_l], &pulse_rest);
        return cl < MOST_CL ? cl : MOST_CL;
    }
    if (!valve)
        return 0;
    depth = (unsigned)setting[rate] * 10 * (passed < HALF_DAY_S / 2 ? passed : HALF_DAY_S / 2) / 3600;
    return depth < MOST_CL / area ? depth * area : MOST_CL; /* 0.01 mm on 1 m2 is 0.01 l */
}

static void count_water(unsigned cl, seconds passed)
{
    hour_s += passed < HOURS * HOUR_S ? passed : HOURS * HOUR_S;
    for (; hour_s >= HOUR_S; hour_s -= HOUR_S) {
        hour = (hour + 1) % HOURS;
        used_cl -= hours[hour];
        hours[hour] = 0;
    }
    unsigned counted = cl < MOST_USED_CL - used_cl ? cl : MOST_USED_CL - used_cl;
    hours[hour] += counted;
    used_cl += counted;
    pay_in(divide(cl * (unsigned)setting[efficiency_pct], 100 * (unsigned)setting[area_m2], &depth_rest));
}

/* --- the probe -------------------------------------------------------------------------------- */

/* Counts, or negative if there are none; a parameter of 0 stands for the node's own value. */
static int calibration(int parameter, int key)
{
    int counts = setting[parameter] ? setting[parameter] : get_config(key);
    return counts < 0 || counts > MOST_COUNTS ? LEVADA_INVALID : counts;
}

static int percent(int counts, int dry, int wet)
{
    return clamp((dry - counts) * 100 / (dry - wet), 0, 100);
}

/* Correct the account by what the probe reads, or say why that cannot be. */
static enum why ask_probe(int raw, seconds now)
{
    int dry = calibration(dry_counts, LEVADA_CONFIG_DRY);
    int wet = calibration(wet_counts, LEVADA_CONFIG_WET);
    if (raw < 0)
        return PROBE_MISSING;
    if (raw < setting[min_counts] || raw > setting[max_counts] || dry < 0 || wet < 0 || dry == wet)
        return PROBE_RANGE;
    if (ema < 0)
        ema = raw << EMA_FRACTION;
    else
        ema += ((raw << EMA_FRACTION) - ema) / (1 << EMA_SHIFT);
    if (!valve && (!watered || now - since >= (seconds)setting[settle_s]))
        depletion = setting[taw_mm] * (100 - percent(ema >> EMA_FRACTION, dry, wet));
    return HOLD;
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

/* --- what is kept ----------------------------------------------------------------------------- */

enum slot { LAYOUT, DEPLETION, USED_CL, UNSEEN, CONFIRMED, ASSUMED, SLOTS };
#define THIS_LAYOUT 0x4501
#define GRAIN 50 /* depletion alone is kept no finer, as flash wears, 0.01 mm */

static int kept[SLOTS]; /* as the node has it */

static void recall(void)
{
    for (int k = 0; k < SLOTS; k++)
        kept[k] = keep_get(k);
    fresh = kept[LAYOUT] != THIS_LAYOUT;
    if (fresh) {
        depletion = assumed = unseen = confirmed = 0;
        return;
    }
    depletion = clamp(kept[DEPLETION], 0, most[taw_mm] * 100);
    hours[hour] = used_cl = (unsigned)clamp(kept[USED_CL], 0, MOST_USED_CL);
    unseen = clamp(kept[UNSEEN], 0, most[no_flow_limit]);
    confirmed = kept[CONFIRMED];
    assumed = clamp(kept[ASSUMED], 0, MOST_READ);
}

/* Volume is kept ahead by what the opening still needs: nobody counts it if the node starts again. */
static void keep(void)
{
    unsigned ahead_cl = 0;
    if (valve) {
        unsigned missing = (unsigned)depletion * 100 / (unsigned)setting[efficiency_pct] + 1;
        unsigned area = (unsigned)setting[area_m2];
        ahead_cl = missing < MOST_CL / area ? missing * area : MOST_CL;
    }
    const int values[SLOTS] = {THIS_LAYOUT, depletion, clamp((int)(used_cl + ahead_cl), 0, MOST_USED_CL),
                               unseen,      confirmed, assumed};
    int apart = depletion - kept[DEPLETION];
    int due = apart >= GRAIN || apart <= -GRAIN;
    for (int k = 0; k < SLOTS; k++)
        due |= (k == LAYOUT || k == UNSEEN || k == CONFIRMED) && values[k] != kept[k];
    due |= values[USED_CL] > kept[USED_CL];
    for (int k = 0; due && k < SLOTS; k++) {
        if (values[k] != kept[k])
            keep_set(k, values[k]);
        kept[k] = values[k];
    }
}

/* --- telemetry -------------------------------------------------------------------------------- */

static char message[256];
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

/* --- the step --------------------------------------------------------------------------------- */

int levada_init(void)
{
    last = since = flow_at = (seconds)uptime_s();
    valve = no_flow = watered = same_time = 0;
    silent_s = hour_s = 0;
    ema = -1;
    for (int k = 0; k < HOURS; k++)
        hours[k] = 0;
    used_cl = 0;
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

/* Why an open valve closes, or HOLD. */
static enum why check_open(seconds now, int capped)
{
    if (setting[flow_confirm_s] && now - flow_at >= (seconds)setting[flow_confirm_s])
        return NO_FLOW;
    if (now - since >= (seconds)setting[max_open_s])
        return CLOSED_MAX_OPEN;
    if (capped)
        return WAIT_DAILY_CAP;
    return depletion <= setting[leave_mm] * 100 ? CLOSED_WET : HOLD;
}

/* OPENED if a closed valve may open, or why it stays closed. */
static enum why check_closed(seconds now, int capped, int leak, int expected)
{
    enum why why = OPENED;
    if (setting[no_flow_limit] && unseen >= setting[no_flow_limit])
        why = LOCKED;
    else if (depletion < setting[refill_mm] * 100)
        why = HOLD;
    else if (now - since < (seconds)setting[min_pause_s])
        why = no_flow ? NO_FLOW : WAIT_PAUSE;
    else if (capped)
        why = WAIT_DAILY_CAP;
    else if (setting[rain_skip] && expected >= setting[rain_skip] &&
             depletion < setting[limit_mm] * 100)
        why = WAIT_RAIN;
    return leak && why != OPENED ? LEAK : why;
}

static int left_pct(int spent) { return 100 - clamp(spent / setting[taw_mm], 0, 100); }

int levada_step(void)
{
    seconds now = (seconds)uptime_s(), passed;
    int time_goes_on = tell_time(now, &passed);
    if (fresh)
        depletion = clamp(setting[start_mm], 0, setting[taw_mm]) * 100;
    fresh = 0;

    int tips = read_sensor(LEVADA_SENSOR_RAIN);
    int et0 = read_sensor(LEVADA_SENSOR_ET0);
    int expected = read_sensor(LEVADA_SENSOR_FORECAST);
    int flow = read_sensor(LEVADA_SENSOR_FLOW);
    int raw = read_sensor(LEVADA_SENSOR_MOISTURE);
    unsigned cl = delivered(flow, passed);
    count_et(et0, passed);
    count_rain(tips);
    count_water(cl, passed);
    int seen = flow < 0 ? cl > 0 : flow > 0;
    if (valve && seen) {
        flow_at = now;
        unseen = 0;
    }
    int capped = setting[daily_cap_l] && used_cl >= (unsigned)setting[daily_cap_l] * 100;
    /* what still ran out while the valve was closing is no leak */
    int leak = !valve && flow >= setting[leak_pulses] &&
               last - since >= (seconds)setting[flow_confirm_s];

    enum why why = setting[source] ? ask_probe(raw, now) : HOLD;
    if (!time_goes_on)
        why = CLOCK;
    else if (why == HOLD)
        why = valve ? check_open(now, capped) : check_closed(now, capped, leak, expected);

    int open = why == OPENED || (valve && why == HOLD);
    if (open != valve) {
        valve = open;
        since = flow_at = now;
        no_flow = why == NO_FLOW;
        watered = 1;
        unseen += open && setting[flow_confirm_s] && unseen < most[no_flow_limit];
    }
    set_output(LEVADA_PIN_VALVE, valve);

    end = message;
    add_field("raw", raw);
    add_field("pct", left_pct(depletion));
    add_field("on", left_pct(setting[refill_mm] * 100));
    add_field("off", left_pct(setting[leave_mm] * 100));
    add_field("irrigar", valve);
    add_field("why", (int)why);
    add_field("flow", flow);
    add_field("depletion", depletion);
    add_field("tips", tips);
    add_field("expected", expected);
    add_field("et0", et0);
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
    keep();
    return wait_s * 1000;
}
